"""How many requests a key may send in a minute."""

import math
import threading
from collections import OrderedDict, deque

from airouter.domain.clock import Clock
from airouter.domain.errors import RateLimited
from airouter.domain.keys import Key

_MINUTE = 60.0  # seconds


class RateLimits:
    """Of one worker: when the requests of the last minute were served, for each key, and for each
    tenant of one.

    A key's number is divided among the workers, at least one for each, so that all of them together
    serve no more than that number. A client whose connections all reach one worker gets its share
    only.

    Mutable state: those times, oldest first, by the order of their latest request; one lock. Not a
    library: the in-memory storage of `limits` starts a thread for most requests, which held up the
    event loop for 1 to 3 ms, and keeps the names of tenants, which clients choose, forever.

    Args:
        workers: `server.workers`.
    """

    def __init__(self, workers: int, clock: Clock) -> None:
        self._workers, self._clock = workers, clock
        self._windows: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def charge(self, key: Key | None, tenant: str | None = None) -> None:
        """Count a request; one that is refused does not count.

        Args:
            key: None for a request without one, which has no limit.
            tenant: for whom it is; each has the key's limit for itself.

        Raises:
            RateLimited: it is one too many; `retry_after` is when there will be room.
        """
        if key is None or key.per_minute is None:
            return
        share = max(1, key.per_minute // self._workers)
        window = key.id, tenant or ""
        with self._lock:
            now = self._clock.monotonic()
            self._forget(now - _MINUTE)
            served = self._windows.setdefault(window, deque())
            self._windows.move_to_end(window)
            while served and served[0] <= now - _MINUTE:
                served.popleft()
            if len(served) < share:
                served.append(now)
                return
            # Not the oldest after a reload that made the limit smaller.
            wait = max(1, math.ceil(served[-share] + _MINUTE - now))
        raise RateLimited(
            f"The limit of this key is {key.per_minute} requests per minute; retry in {wait} s.",
            retry_after=wait,
        )

    def _forget(self, before: float) -> None:
        """Drop windows in which nothing was served since then."""
        while self._windows and next(iter(self._windows.values()))[-1] <= before:
            self._windows.popitem(last=False)
