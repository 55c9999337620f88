"""How long a finished answer waits for the routing decision: as configured, or according to how
long the classifier usually takes."""

import math
import threading
from collections import deque

MIN_SECONDS = 3.0
_WINDOW = 200  # latest classifications per tier
_MIN_SAMPLES = 20  # with fewer, one slow start would be the 95th percentile


class PatienceMeter:
    """Observes how long classifications take that return a label; cancelled ones do not count.

    Each tier is measured by itself: a fast tier that decides nearly everything must not make a slow
    one look late. Mutable state: the latest durations and the 95th percentile by tier, and the
    resulting patience; guarded by one lock.

    Args:
        fixed: `cascade.patience` in seconds; None: the longer of 3 s and twice the slowest tier's
            95th percentile.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed
        self._lock = threading.Lock()
        self._latest: dict[str, deque[float]] = {}
        self._p95: dict[str, float] = {}
        self._seconds = MIN_SECONDS if fixed is None else fixed

    @property
    def seconds(self) -> float:
        """The current patience."""
        return self._seconds

    def observe(self, tier: str, seconds: float) -> None:
        """Record that a tier returned a label `seconds` after the cascade started."""
        if self._fixed is not None:
            return
        with self._lock:
            latest = self._latest.setdefault(tier, deque(maxlen=_WINDOW))
            latest.append(seconds)
            if len(latest) >= _MIN_SAMPLES:
                self._p95[tier] = sorted(latest)[math.ceil(0.95 * len(latest)) - 1]
                self._seconds = max(MIN_SECONDS, 2 * max(self._p95.values()))
