"""How long a finished answer waits for a decision: from the setting, or from how long the
classifier usually takes."""

import math
import threading
from collections import deque

LEAST = 3.0  # seconds
_LATEST = 200  # classifications per tier that are looked at
_ENOUGH = 20  # fewer have no 95th percentile: one slow start would count as the usual


class PatienceMeter:
    """Told how long each classification took that named a label; one that was given up tells
    nothing.

    Tiers are told apart: a quick one that decides nearly everything must not make a slow one look
    late. Mutable state: the latest durations by tier, and the patience that follows from them; one
    lock.

    Args:
        fixed: `cascade.patience` in seconds; None: the longer of 3 s and twice the slowest tier's
            95th percentile.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed
        self._lock = threading.Lock()
        self._latest: dict[str, deque[float]] = {}
        self._p95: dict[str, float] = {}
        self._seconds = LEAST if fixed is None else fixed

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        return self._seconds

    def took(self, tier: str, seconds: float) -> None:
        """A tier has named a label, so many seconds after the deciding began."""
        if self._fixed is not None:
            return
        with self._lock:
            latest = self._latest.setdefault(tier, deque(maxlen=_LATEST))
            latest.append(seconds)
            if len(latest) >= _ENOUGH:
                self._p95[tier] = sorted(latest)[math.ceil(0.95 * len(latest)) - 1]
                self._seconds = max(LEAST, 2 * max(self._p95.values()))
