"""Results of `evaluate` by group of prompts, kind of error, and change of shape."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airouter.domain.types import Features
from airouter.evaluation.measures import lower_bound, upper_bound
from airouter.evaluation.outcome import Outcome

_SYSTEM = ("without a system prompt", "with a system prompt")
_TOOLS = ("without tools", "with tools")
_TURNS = ("without earlier turns", "with earlier turns")
_BELOW = (60, 300, 1500)  # characters of the ask
_LENGTHS = ("under 60 characters", "60 to 299 characters", "300 to 1,499", "1,500 or more")
SHAPE_GROUPS = (*_SYSTEM, *_TOOLS, *_TURNS, *_LENGTHS)
# Kinds of error by (label, decided). The first two are harmful.
KIND_OF_ERROR: Mapping[tuple[str, str], str] = {
    ("ENRICH", "PRIMARY"): "local_instead_of_enrich",
    ("COMPLEX", "PRIMARY"): "local_instead_of_complex",
    ("PRIMARY", "COMPLEX"): "cloud_instead_of_local",
    ("META", "COMPLEX"): "cloud_instead_of_local",
    ("PRIMARY", "ENRICH"): "search_instead_of_local",
    ("META", "ENRICH"): "search_instead_of_local",
    ("COMPLEX", "ENRICH"): "search_instead_of_cloud",
    ("ENRICH", "COMPLEX"): "cloud_instead_of_search",
    ("PRIMARY", "META"): "meta_false",
    ("COMPLEX", "META"): "meta_false",
    ("ENRICH", "META"): "meta_false",
}
KINDS = tuple(dict.fromkeys(KIND_OF_ERROR.values()))


def shapes_of(features: Features) -> tuple[str, ...]:
    """The groups of shapes that a request belongs to, one of each pair or range."""
    return (
        _SYSTEM[bool(features.system)],
        _TOOLS[features.has_tools],
        _TURNS[bool(features.previous)],
        _LENGTHS[bisect_right(_BELOW, len(features.ask))],
    )


def row(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Coverage, accuracy and harmful errors of a group, as shares in 0..1 with one-sided bounds at
    95 % confidence."""
    covered = [one for one in outcomes if one.covered]
    right, bad = sum(one.right for one in covered), sum(one.harmful for one in covered)
    k = len(covered)
    return {
        "n": len(outcomes),
        "covered": k,
        "coverage": k / len(outcomes) if outcomes else 0.0,
        "accuracy": right / k if k else None,
        "accuracy_lower_95": lower_bound(right, k),
        "harmful": bad / k if k else 0.0,
        "harmful_upper_95": upper_bound(bad, k),
    }


def by(
    outcomes: Iterable[Outcome],
    names_of: Callable[[Outcome], Iterable[str]],
    order: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """A row per group.

    Args:
        names_of: the groups of an outcome.
        order: of the groups; without it, the largest is first.
    """
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        for name in names_of(one):
            groups[name].append(one)
    names = order or sorted(groups, key=lambda name: (-len(groups[name]), name))
    return {name: row(groups[name]) for name in names if name in groups}


def error_kinds(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Errors of the covered prompts by kind: count, share of the covered, one-sided upper bound at
    95 %. `meta_missed` is a share of the META prompts, and includes those that no rule decided."""
    covered = [one for one in outcomes if one.covered]
    kinds = Counter(
        KIND_OF_ERROR.get((one.label, one.decided or "")) for one in covered if not one.right
    )
    meta = [one for one in outcomes if one.label == "META"]
    missed = sum(one.decided != "META" for one in meta)
    return {
        **{kind: _share(kinds[kind], len(covered)) for kind in KINDS},
        "meta_missed": _share(missed, len(meta)),
    }


def classifier_away(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Accuracy on all prompts if no model server can be asked, and the share of all prompts that
    are COMPLEX or ENRICH and then answered locally without a search."""
    n = len(outcomes)
    right = sum(one.away in one.accepted for one in outcomes)
    hard = sum(one.hard and one.away in ("PRIMARY", "META") for one in outcomes)
    return {
        "accuracy": right / n if n else None,
        "accuracy_lower_95": lower_bound(right, n),
        "hard_answered_locally": hard / n if n else None,
        "hard_answered_locally_upper_95": upper_bound(hard, n),
    }


def flips(pairs: Sequence[tuple[Outcome, Outcome]]) -> dict[str, Any]:
    """What a change of shape does to decisions.

    Args:
        pairs: outcomes of the same prompt as it was, and changed.

    Returns:
        the changed prompts' `row()`; `covered_before`; of those covered both times (`both`) how
        many were decided differently (`flipped`, `flip_share`, `flip_upper_95`), and from what to
        what (`moves`).
    """
    both = [(old.decided, new.decided) for old, new in pairs if old.covered and new.covered]
    moves = Counter(f"{old} → {new}" for old, new in both if old != new)
    flipped = _share(moves.total(), len(both))
    return {
        **row([new for _, new in pairs]),
        "covered_before": sum(old.covered for old, _ in pairs),
        "both": len(both),
        "flipped": flipped["n"],
        "flip_share": flipped["share"],
        "flip_upper_95": flipped["upper_95"],
        "moves": dict(moves.most_common()),
    }


def _share(n: int, of: int) -> dict[str, Any]:
    return {"n": n, "share": n / of if of else None, "upper_95": upper_bound(n, of)}
