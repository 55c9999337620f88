"""How loaded each worker is, in memory that all of them share, so that a new connection goes to the
one with the least to do."""

import mmap

from airouter.domain.clock import Clock

_WORKERS = 64  # as many as `server.workers` allows
_MARGIN = 1  # a difference that is worth nothing
_DEFER = 0.002  # seconds a connection is left to the others
_PATIENCE = 0.02  # seconds after which it is taken anyway


class LoadTable:
    """One number per worker; made before the workers fork. Each writes its own only."""

    def __init__(self) -> None:
        self._loads = memoryview(mmap.mmap(-1, _WORKERS * 8)).cast("q")  # 0: no worker

    def share(self, slot: int) -> "Share":
        return Share(self._loads, slot)

    def leave(self, slot: int) -> None:
        """The worker has ended."""
        self._loads[slot] = 0


class Share:
    """One worker's part. Mutable state: since when it has been leaving a connection to others."""

    def __init__(self, loads: memoryview, slot: int) -> None:
        self._loads, self._slot = loads, slot
        self._since = self._asked = float("-inf")

    def publish(self, load: int) -> None:
        self._loads[self._slot] = load + 1

    def defer(self) -> float:
        """Seconds to leave a waiting connection to a worker that has less to do; 0: take it."""
        own = self._loads[self._slot]
        others = [load for slot, load in enumerate(self._loads) if load and slot != self._slot]
        if not others or own <= min(others) + _MARGIN:
            return 0.0
        now = Clock.monotonic()
        if now - self._asked > _PATIENCE:  # the connection before has been taken by another
            self._since = now
        self._asked = now
        if now - self._since < _PATIENCE:
            return _DEFER
        self._since = now  # it may be stuck
        return 0.0
