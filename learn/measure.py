"""What is measured of predictions: bounds, calibration, coverage. Arrays have one row per prompt, columns as `CLASSES`."""

from dataclasses import dataclass

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
