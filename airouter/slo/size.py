"""How many pods a service needs (R-210)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """`in_flight`: requests in flight at the same time."""

    in_flight: float
    pods: int


def size(rps: float, p95: float, minimum: int = 2, per_pod: int = 100) -> Size:
    """Little's law, with the p95 for the mean, so that there is room to spare.

    Args:
        rps: requests per second.
        p95: 95th percentile of their duration, in seconds.
        minimum: pods that there are in any case; two survive the loss of one.
        per_pod: requests that a pod may have in flight.

    Raises:
        ValueError: a number is not finite, or not positive.
    """
    if not all(math.isfinite(number) and number > 0 for number in (rps, p95, minimum, per_pod)):
        raise ValueError("each number must be positive and finite")
    in_flight = round(rps * p95, 9)  # 100 × 0.07 is 7.000000000000001
    return Size(in_flight, max(minimum, math.ceil(in_flight / per_pod)))
