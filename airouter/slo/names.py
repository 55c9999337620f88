"""Names that the router and Prometheus share."""

import re

from airouter.slo.objectives import Objective


def alert_name(objective: Objective) -> str:
    """Of the alert on an objective's error budget, e.g. PrimaryNotSlowBudgetBurn."""
    words = re.split(r"[^A-Za-z0-9]+", objective.name)
    name = "".join(word[:1].upper() + word[1:] for word in words) + "BudgetBurn"
    return name if name[0].isalpha() else f"Slo{name}"
