"""Names that the router's own evaluation, its rules for Prometheus and its exports share."""

from airouter.slo.objectives import Objective

SERVICE = "ai-router"
# Labels: slo (an objective's name), good (true, false).
COUNTER = "airouter_slo_events_total"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def alert_name(objective: Objective) -> str:
    """The name of an objective's alerts about its error budget: `primary-not-slow` →
    `PrimaryNotSlowBudgetBurn`. The severity tells them apart."""
    words = "".join(word[:1].upper() + word[1:] for word in objective.name.split("-"))
    return f"{'Slo' if words[:1].isdigit() else ''}{words}BudgetBurn"


def duration(seconds: int) -> str:
    """As Prometheus writes it, in the largest unit that leaves a whole number: 5m, 6h, 3d."""
    for size, unit in _UNITS:
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size}{unit}"
    return "0s"


def runbook_url(runbooks: str, runbook: str) -> str:
    """The address of a page; `runbooks`: the folder of the pages, a path or a URL."""
    return f"{runbooks.rstrip('/')}/{runbook}.md"
