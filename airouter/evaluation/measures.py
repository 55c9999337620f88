"""Measures of the quality of predictions. Pure; numpy only."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def upper_bound(bad: int, n: int, confidence: float = 0.95) -> float:
    """The one-sided Clopper-Pearson upper bound of a share, 0..1: the p at which `bad` or fewer out
    of `n` have the probability 1 - confidence; 1.0 if n is 0.

    Solved by bisection, so that no statistics library is needed.
    """
    if n == 0 or bad >= n:
        return 1.0
    low, high = bad / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(bad, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(good: int, n: int, confidence: float = 0.95) -> float:
    """The one-sided Clopper-Pearson lower bound of a share, 0..1; 0.0 if n is 0."""
    return 1.0 - upper_bound(n - good, n, confidence)


def _at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) for a binomial(n, p) X, computed with logarithms."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = (
        math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k + 1)
    )
    return min(1.0, math.fsum(terms))


def calibration_error(confidence: NDArray[Any], right: NDArray[Any], bins: int = 15) -> float:
    """The expected calibration error, 0..1, over bins of equal size: the mean difference between
    accuracy and mean confidence.

    Args:
        confidence: (n,), predicted probabilities.
        right: (n,), whether each prediction was correct.
    """
    n = len(confidence)
    if n == 0:
        return 0.0
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, n))
    return float(
        sum(
            len(part) * abs(float(right[part].mean()) - float(confidence[part].mean()))
            for part in parts
        )
        / n
    )


def curve(confidence: NDArray[Any], right: NDArray[Any]) -> list[tuple[float, float]]:
    """(coverage, accuracy) if only the most confident predictions count, in steps of 5 %
    coverage."""
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    n = len(order)
    points = sorted({max(1, round(n * share / 20)) for share in range(1, 21)}) if n else []
    return [(k / n, float(hits[k - 1]) / k) for k in points]


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, with `share` in 0..1; 0.0 if there are no values."""
    ordered = sorted(values)
    return (
        ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
        if ordered
        else 0.0
    )
