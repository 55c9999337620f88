"""What is measured of predictions, and the thresholds per label that keep the budgets per kind of
error on origins never trained on. Arrays have one row per prompt, columns as `CLASSES`. META is
never decided: the rules do that.

Not the pooled mean alone decides: the mean of the worst origins must keep the budgets too, since
the next origin may be like the worst one. Among all triples of thresholds that keep them the one
with the largest coverage wins.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from airouter.evaluation.measures import calibration_error, upper_bound
from learn.data import CLASSES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

PRIMARY, COMPLEX, ENRICH, META = range(len(CLASSES))


@dataclass(frozen=True, slots=True)
class Truth:
    """`label`: the class's number. `accepted`: (n, 4), what counts as right. `origin`: names."""

    label: Ints
    accepted: Bools
    origin: NDArray[np.str_]

    def at(self, rows: Bools | Ints) -> "Truth":
        return Truth(self.label[rows], self.accepted[rows], self.origin[rows])


def right(predicted: Ints, truth: Truth) -> Bools:
    return np.asarray(truth.accepted[np.arange(len(predicted)), predicted], np.bool_)


def harmful(predicted: Ints, truth: Truth) -> Bools:
    """ENRICH or COMPLEX decided PRIMARY, where that is not acceptable."""
    hard = (truth.label == COMPLEX) | (truth.label == ENRICH)
    return np.asarray((predicted == PRIMARY) & hard & ~truth.accepted[:, PRIMARY], np.bool_)


def to_cloud(predicted: Ints, truth: Truth) -> Bools:
    """PRIMARY (or META) sent to the cloud as COMPLEX."""
    return np.asarray(
        (predicted == COMPLEX)
        & ((truth.label == PRIMARY) | (truth.label == META))
        & ~truth.accepted[:, COMPLEX],
        np.bool_,
    )


def figures(probabilities: Floats, decided: Bools, truth: Truth) -> dict[str, float]:
    """The figures of one origin, or of all: shares of 1; bounds are one-sided at 95 %.

    Args:
        probabilities: (n, 4), calibrated.
        decided: (n,), where the tier does not abstain; it decides the most probable class.
    """
    predicted = probabilities.argmax(1)
    n, k = len(decided), int(decided.sum())
    bad = int((harmful(predicted, truth) & decided).sum())
    good = int((right(predicted, truth) & decided).sum())
    cloud = int((to_cloud(predicted, truth) & decided).sum())
    return {
        "n": n,
        "decided": k,
        "coverage": k / n if n else 0.0,
        "accuracy": good / k if k else 1.0,
        "harmful": bad / k if k else 0.0,
        "harmful_upper": upper_bound(bad, k),
        "cloud_instead_of_local": cloud / k if k else 0.0,
        "accuracy_if_all": float(right(predicted, truth).mean()) if n else 0.0,
        "ece": calibration_error(probabilities.max(1), right(predicted, truth)),
    }


_GRID = np.unique(
    np.round(
        np.concatenate(
            (
                np.arange(0.50, 0.90, 0.02),
                np.arange(0.90, 0.985, 0.005),
                np.arange(0.985, 0.9985, 0.001),
            )
        ),
        4,
    )
)
NEVER = 1.01  # a threshold that nothing reaches


@dataclass(frozen=True, slots=True)
class Budgets:
    """Shares of what the tier covers. The pooled limits keep a distance from what is promised (in
    brackets)."""

    harmful_upper: float = 0.004  # pooled, upper 95 % bound (2 %)
    accuracy: float = 0.975  # pooled (96 %)
    cloud: float = 0.01  # pooled, PRIMARY decided COMPLEX (1.5 %)
    worst_cloud: float = 0.03  # the worst origin
    worst_harmful: float = 0.015  # mean of the three worst origins
    worst_accuracy: float = 0.95  # mean of the three worst origins
    least: dict[str, float] = field(
        default_factory=lambda: {"PRIMARY": 0.985, "COMPLEX": 0.98, "ENRICH": 0.96}
    )  # precision


def choose(
    probabilities: Floats, open_to_decide: Bools, truth: Truth, budgets: Budgets
) -> dict[str, float]:
    """Thresholds by label.

    Args:
        probabilities: (n, 4), calibrated, each made without the prompt's origin.
        open_to_decide: (n,), False where the tier abstains for another reason (strangeness, a
            leaning follow-up).
    """
    predicted = probabilities.argmax(1)
    p = probabilities.max(1)
    hits, bad, cloud = (
        right(predicted, truth),
        harmful(predicted, truth),
        to_cloud(predicted, truth),
    )
    origins = np.unique(truth.origin)
    tables = [
        _table(label, predicted, p, open_to_decide, (hits, bad, cloud), truth.origin, origins)
        for label in range(len(CLASSES))
    ]
    allowed = [_allowed(tables[label], budgets.least[CLASSES[label]]) for label in range(META)]
    best, chosen = -1.0, (len(_GRID),) * 3
    for i in allowed[PRIMARY]:
        for j in allowed[COMPLEX]:
            ks = np.array([*allowed[ENRICH], len(_GRID)])
            sums = tables[PRIMARY][i] + tables[COMPLEX][j] + tables[ENRICH][ks]  # (k, 4, origins)
            fits = _fits(sums, budgets)
            covered = np.where(fits, sums[:, 0].sum(1), -1)
            at = int(covered.argmax())
            if covered[at] > best:
                best, chosen = float(covered[at]), (i, j, int(ks[at]))
    steps = [*_GRID.tolist(), NEVER]
    return {
        CLASSES[label]: steps[step]
        for label, step in zip((PRIMARY, COMPLEX, ENRICH, META), (*chosen, len(_GRID)), strict=True)
    }


def _table(
    label: int, predicted: NDArray[np.int64], p: NDArray[np.float64], open_: Bools,
    marks: tuple[Bools, ...], origin: NDArray[np.str_], origins: NDArray[np.str_],
) -> Floats:  # fmt: skip
    """(steps + 1, 4, origins): decided, right, harmful, to the cloud, at each threshold; the last
    step decides nothing."""
    mine = (predicted == label) & open_
    out = np.zeros((len(_GRID) + 1, 1 + len(marks), len(origins)))
    for o, name in enumerate(origins):
        here = mine & (origin == name)
        for m, mark in enumerate((here, *marks)):
            order = np.sort(p[here & mark])
            out[:-1, m, o] = len(order) - np.searchsorted(order, _GRID, side="left")
    return out


def _allowed(table: Floats, least: float) -> list[int]:
    """Steps at which, and above which, the label's precision is at least so high; lowest first."""
    decided, hits = table[:-1, 0].sum(1), table[:-1, 1].sum(1)
    fine = hits >= least * decided
    first = len(fine) - int(np.argmin(fine[::-1])) if not fine.all() else 0
    return list(range(first, len(fine)))


def _fits(sums: Floats, budgets: Budgets) -> Bools:
    """(k,) for sums (k, 4, origins)."""
    decided, hits, bad, cloud = (sums[:, m] for m in range(4))
    n = np.maximum(decided.sum(1), 1)
    # Wilson's one-sided upper bound at 95 %: close to the exact one, and fast for a whole grid.
    z, p = 1.6449, bad.sum(1) / n
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    upper = (p + z * z / (2 * n) + half) / (1 + z * z / n)
    fits = (
        (upper <= budgets.harmful_upper)
        & (hits.sum(1) / n >= budgets.accuracy)
        & (cloud.sum(1) / n <= budgets.cloud)
    )
    shrunk = decided + 20  # a rate of few cases is drawn towards none
    worst_bad = np.sort(bad / shrunk, axis=1)[:, -3:].mean(1)
    worst_wrong = np.sort((decided - hits) / shrunk, axis=1)[:, -3:].mean(1)
    fits &= (cloud / shrunk).max(1) <= budgets.worst_cloud
    return np.asarray(
        fits & (worst_bad <= budgets.worst_harmful) & (1 - worst_wrong >= budgets.worst_accuracy),
        np.bool_,
    )
