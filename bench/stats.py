"""Percentiles and bootstrap intervals. Linear and inclusive: never beyond the largest value that was measured."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

QUANTILES = (0.5, 0.95, 0.99)
FEW = 20  # of fewer values, a p95 or p99 would be the largest by another name: only the median is told


def percentile(ordered: Sequence[float], q: float) -> float:
    """The quantile `q` (0..1) of values in ascending order, linear between the two nearest.

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("no values")
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@dataclass(frozen=True, slots=True)
class Summary:
    """Values in the unit that went in."""

    n: int
    mean: float
    p50: float
    p95: float
    p99: float
    smallest: float
    largest: float


def summarise(values: Sequence[float]) -> Summary | None:
    """None when there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p95, p99 = (percentile(ordered, q) for q in QUANTILES)
    return Summary(
        len(ordered), sum(ordered) / len(ordered), p50, p95, p99, ordered[0], ordered[-1]
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    values: Sequence[float],
    quantiles: Sequence[float] = QUANTILES,
    *,
    level: float = 0.95,
    rounds: int = 1000,
    seed: int = 1,
) -> list[Interval]:
    """Percentile-bootstrap intervals of these quantiles, all from the same resamples; the same values give the same interval."""
    source = random.Random(seed)
    n = len(values)
    found: list[list[float]] = [[] for _ in quantiles]
    for _ in range(rounds):
        sample = sorted(source.choices(values, k=n))
        for column, q in zip(found, quantiles, strict=True):
            column.append(percentile(sample, q))
    ordered = sorted(values)
    tail = (1 - level) / 2
    intervals = []
    for column, q in zip(found, quantiles, strict=True):
        column.sort()
        intervals.append(
            Interval(percentile(ordered, q), percentile(column, tail), percentile(column, 1 - tail))
        )
    return intervals
