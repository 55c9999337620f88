"""Percentiles and bootstrap intervals. Linear and inclusive: never beyond the largest value that
was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

QUANTILES = (0.5, 0.95, 0.99)
# Of fewer values, a p95 or p99 would be the largest by another name: only the median is shown.
FEW = 20


def percentile(values: Sequence[float], q: float) -> float:
    """The quantile `q` (0..1), linear between the two nearest values.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    return float(np.quantile(values, q))


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def lateness(times: list[float], interval: float) -> list[float]:
    """How much later than a steady beat each came; the most punctual one sets the beat."""
    offsets = [at - i * interval for i, at in enumerate(times)]
    return [offset - min(offsets) for offset in offsets]


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
    quantiles = np.quantile(values, (*QUANTILES, 0, 1)).tolist()
    return Summary(len(values), float(np.mean(values)), *quantiles)


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
    less: Sequence[float] = (0.0,),
) -> list[Interval]:
    """Percentile-bootstrap intervals of these quantiles, or of how much higher they are than those
    of `less`.

    All are from the same resamples, and the same values give the same interval.
    """
    source = np.random.default_rng(seed)

    def resampled(of: Sequence[float]) -> np.ndarray:
        n = len(of)
        return np.array([np.quantile(source.choice(of, n), quantiles) for _ in range(rounds)])

    def middle(of: Sequence[float]) -> np.ndarray:
        return np.asarray(np.quantile(of, quantiles))

    found = resampled(values) - (resampled(less) if len(less) > 1 else less[0])
    tail = (1 - level) / 2
    low, high = np.quantile(found, (tail, 1 - tail), axis=0)
    columns = zip(middle(values) - middle(less), low, high, strict=True)
    return [Interval(*map(float, column)) for column in columns]


def proportion(found: int, of: int, *, z: float = 1.96) -> Interval:
    """A share from a count, with its Wilson score interval (95 % at the default `z`), which is
    meaningful for 0 and for all, too.

    Raises:
        ValueError: nothing was counted.
    """
    if of < 1:
        raise ValueError("no values")
    share, more = found / of, z * z / of
    middle = (share + more / 2) / (1 + more)
    half = z * np.sqrt(share * (1 - share) / of + more / (4 * of)) / (1 + more)
    return Interval(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))
