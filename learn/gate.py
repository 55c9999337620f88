"""May a new model replace the shipped one? `python -m learn.gate NEW OLD` (folders with
card.json): exit 0 when it may.

Compared on what was held out: accuracy of what it covers no lower, coverage no lower, harmful
errors within the budget.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.learned.text_model import load_model
from airouter.domain.errors import ConfigError

HARMFUL_BUDGET = 0.02  # upper 95 % bound, share of what is covered
CLOUD_BUDGET = 0.03
ECE_BUDGET = 0.05
_BUDGETS = {
    "harmful_upper": HARMFUL_BUDGET,
    "cloud_instead_of_local": CLOUD_BUDGET,
    "ece": ECE_BUDGET,
}


def compare(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """One sentence per reason why not; none: it may. Both are the `held_out.all` of a card."""
    lower = [
        f"{title} is {new[name]:.2%}, below {old[name]:.2%}"
        for name, title in (("accuracy", "accuracy of what it covers"), ("coverage", "coverage"))
        if new[name] < old[name] - 1e-9  # rounding
    ]
    above = [
        f"{name} is {new[name]:.2%}, above its budget of {budget:.0%}"
        for name, budget in _BUDGETS.items()
        if new[name] > budget
    ]
    return lower + above


def held_out(folder: Path) -> dict[str, Any]:
    """The card's figures, after checking that the weights beside it load.

    Raises:
        ConfigError: either is missing or damaged.
    """
    load_model(folder)
    try:
        figures = orjson.loads((folder / "card.json").read_bytes())["held_out"]["all"]
        return {name: float(figures[name]) for name in ("accuracy", "coverage", *_BUDGETS)}
    except (OSError, KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{folder / 'card.json'}: the card is missing or damaged; run `make train`."
        ) from None


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 2:
        print("Usage: python -m learn.gate NEW OLD", file=sys.stderr)
        return 2
    try:
        faults = compare(held_out(Path(arguments[0])), held_out(Path(arguments[1])))
    except ConfigError as error:
        print(f"The new model stays out: {error.message}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"The new model stays out: {fault}.")
    if not faults:
        print("The new model may replace the old one.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
