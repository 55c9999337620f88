"""A decision as the probabilities of options: of a decision model's question whose options are
labels or routes of the router.

They come from the tier that decided, if it estimates that of each class; otherwise the label
decided on has the tier's own probability or the one below, at most 0.99, and the other labels share
the rest evenly. If no tier decided, all options are equally probable.
"""

from collections.abc import Mapping, Sequence

from airouter.domain.labels import (
    CLASS_OF_LABEL,
    CLASSES,
    DEFAULT_LABEL,
    LABELS,
    ROUTE_OF_LABEL,
    ROUTES,
)
from airouter.domain.types import Decision, Verdict

# No decision is labelled PRIMARY, the name of the class of SIMPLE and MODERATE.
OPTION_LABELS = tuple(label.name for label in LABELS if label.name != "PRIMARY")
_UNDECIDED = ("fallback", "patience")
_MOST = 0.99  # even the rules, which are certain, may be wrong
_BY_A_LABEL = 0.9  # of a tier that states no probability: the reasoning one
_DEFAULT_ROUTE = ROUTE_OF_LABEL[DEFAULT_LABEL]


def are_options(names: Sequence[str]) -> bool:
    """Whether a question can be answered: at least two labels, or routes, each once."""
    known = set(names) <= set(OPTION_LABELS) or set(names) <= set(ROUTES)
    return known and len(set(names)) == len(names) >= 2


def option_probabilities(options: Sequence[str], decision: Decision) -> dict[str, float]:
    """The probability of each option, in their order; they add up to 1.

    The share of a label that is not an option goes to an option on the same route; META's, whose
    route the primary serves, then to one on the primary's. Otherwise it is left out, and the others
    are normalised.

    Args:
        options: as `are_options()` accepts them.
    """
    labels = _label_probabilities(decision)
    shares = dict.fromkeys(options, 0.0)
    for label, p in (labels or {}).items():
        option = _option_of(label, options)
        if option is not None:
            shares[option] += p
    total = sum(shares.values())
    if total <= 0:
        return dict.fromkeys(options, 1 / len(options))
    return {option: share / total for option, share in shares.items()}


def chosen_option(probabilities: Mapping[str, float], decision: Decision) -> str:
    """The most probable option; of equally probable ones the one that was decided on."""
    decided = _option_of(decision.label, [*probabilities])
    return max(probabilities, key=lambda option: (probabilities[option], option == decided))


def _option_of(label: str, options: Sequence[str]) -> str | None:
    """The option that stands for a label."""
    route = ROUTE_OF_LABEL[label]
    if label in options or route in options:
        return label if label in options else route
    near = (route, _DEFAULT_ROUTE) if label == "META" else (route,)
    return next(
        (option for one in near for option in options if ROUTE_OF_LABEL.get(option, option) == one),
        None,
    )


def _label_probabilities(decision: Decision) -> dict[str, float] | None:
    """The probability of each of `OPTION_LABELS`; None if no tier decided."""
    if decision.tier in _UNDECIDED and decision.p is None:
        return None
    verdict = _deciding(decision)
    if verdict is not None and verdict.shares:
        return _of_classes(verdict.shares, decision.label)
    p = min(_MOST, _BY_A_LABEL if decision.p is None else decision.p)
    rest = (1 - p) / (len(OPTION_LABELS) - 1)
    return {label: p if label == decision.label else rest for label in OPTION_LABELS}


def _deciding(decision: Decision) -> Verdict | None:
    """The verdict that the decision follows."""
    fell_back = decision.tier in _UNDECIDED

    def is_followed(verdict: Verdict) -> bool:
        own = verdict.p == decision.p if fell_back else verdict.tier == decision.tier
        return own and (verdict.label or verdict.guess) == decision.label

    return next(filter(is_followed, reversed(decision.verdicts)), None)


def _of_classes(shares: Sequence[float], label: str) -> dict[str, float]:
    """The probabilities of labels from those of classes. The primary's is that of its label decided
    on: the tiers do not tell SIMPLE from MODERATE. META's counts as the primary's: only the rules
    decide META."""
    found = dict.fromkeys(OPTION_LABELS, 0.0)
    primary = label if CLASS_OF_LABEL[label] == "PRIMARY" else DEFAULT_LABEL
    for name, share in zip(CLASSES, shares, strict=True):
        found[primary if name in ("PRIMARY", "META") else name] += share
    return found
