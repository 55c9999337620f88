"""How many requests are under way at each backend, and since when none has been, counted over all
worker processes: what a measured latency means depends on it."""

import mmap
import threading
import zlib

from airouter.domain.clock import Clock

_WORKERS = 64  # as many as `server.workers` allows
_BACKENDS = 512  # two whose names fall together are counted as one


class Table:
    """Per backend and worker: requests under way, and when the last one ended (monotonic seconds,
    0: never). Made before the workers fork; each writes its own column only.

    Mutable state: the cells, and which column is this process's.
    """

    def __init__(self) -> None:
        cells = _BACKENDS * _WORKERS
        self.counts = memoryview(mmap.mmap(-1, cells * 8)).cast("q")
        self.ended = memoryview(mmap.mmap(-1, cells * 8)).cast("d")
        self.worker, self.workers = 0, 1
        self.lock = threading.Lock()

    def join(self, worker: int, workers: int) -> None:
        """This process is one of several workers."""
        # gunicorn may be told to start more than the configuration says (SIGTTIN).
        self.worker, self.workers = worker % _WORKERS, min(max(workers, worker + 1), _WORKERS)

    def leave(self, worker: int) -> None:
        """The worker has ended."""
        for backend in range(_BACKENDS):
            self.counts[backend * _WORKERS + worker % _WORKERS] = 0


TABLE = Table()


class Traffic:
    """One backend's part."""

    def __init__(self, backend: str, table: Table = TABLE) -> None:
        self._table = table
        self._first = zlib.crc32(backend.encode()) % _BACKENDS * _WORKERS

    @property
    def under_way(self) -> int:
        """Requests under way now, of all workers."""
        table = self._table
        return sum(table.counts[self._first : self._first + table.workers])

    def begin(self) -> tuple[int, float | None]:
        """A request begins.

        Returns:
            How many others are under way, and for how many seconds none has been; None if one is,
            or if there was none before.
        """
        table = self._table
        own, last = self._first + table.worker, self._first + table.workers
        with table.lock:
            others = sum(table.counts[self._first : last])
            table.counts[own] += 1
        if others:
            return others, None
        ended = max(table.ended[self._first : last])
        return 0, Clock.monotonic() - ended if ended else None

    def end(self) -> None:
        table = self._table
        own = self._first + table.worker
        with table.lock:
            table.counts[own] = max(0, table.counts[own] - 1)
        table.ended[own] = Clock.monotonic()
