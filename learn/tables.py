"""The table of figures that the model cards have in common."""

import textwrap
from collections.abc import Sequence

from airouter.evaluation.measures import upper_bound
from learn.thresholds import COMPLEX, ENRICH, PRIMARY, Bools, Floats, Truth, harmful, right

HEADER = (
    "| what | prompts | coverage | accuracy on covered | lower bound | harmful | upper bound | "
    "needless cloud or search | ENRICH recall |\n|---|---|---|---|---|---|---|---|---|"
)
LANGUAGES = ("en", "de", "zh", "ja", "ko")


def row(name: str, p: Floats, decided: Bools, truth: Truth) -> str:
    """A line of the table; bounds are one-sided at 95 %."""
    predicted = p.argmax(1)
    n, k = len(decided), int(decided.sum())
    good = right(predicted, truth) & decided
    bad = int((harmful(predicted, truth) & decided).sum())
    away = (predicted == COMPLEX) | (predicted == ENRICH)
    needless = away & (truth.label == PRIMARY) & decided & ~right(predicted, truth)
    fresh = truth.label == ENRICH
    found = int((fresh & decided & (predicted == ENRICH)).sum())
    share = f"{good.sum() / k:.1%}" if k else "–"
    lower = f"{1 - upper_bound(k - int(good.sum()), k):.1%}" if k else "–"
    harm = f"{bad / k:.2%} | {upper_bound(bad, k):.2%}" if k else "– | –"
    spent = f"{needless.sum() / k:.1%}" if k else "–"
    recall = f"{found / fresh.sum():.1%}" if fresh.any() else "–"
    return (
        f"| {name} | {n} | {k / max(1, n):.1%} | {share} | {lower} | {harm} | {spent} | {recall} |"
    )


def wrapped(lines: Sequence[str]) -> str:
    """The lines, with prose of at most 100 columns; tables and headings stay as they are."""
    short = (
        line if line.startswith(("|", "#")) else textwrap.fill(line, 100, break_on_hyphens=False)
        for line in lines
    )
    return "\n".join(short)
