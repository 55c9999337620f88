"""One event loop per worker: sockets, timers, and calls from other threads, in one thread."""

import heapq
import itertools
import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from airouter.domain.clock import Clock
from airouter.flow.waits import INFINITY

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_LONGEST = 1.0  # seconds between two rounds at most


class Timer:
    """Something to be done at a time that often moves: one entry in the heap is kept, and looked at
    again when its time comes."""

    __slots__ = ("action", "due", "entry")

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.due = INFINITY  # monotonic seconds
        self.entry = INFINITY  # the time of its entry in the heap

    def cancel(self) -> None:
        """Never again. Its entry stays in the heap for a while, and must keep nothing alive."""
        self.due, self.action = INFINITY, _nothing


def _nothing() -> None: ...


class Loop:
    """Belongs to the thread that runs it; only `call()` may be called by another.

    Mutable state: what is watched, the timers, the calls that other threads left.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic  # seconds
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._bell.setblocking(False)
        self.watch(self._wake.fileno(), READ, self._woken)

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Call `ready` with the events whenever there are some."""
        self._selector.register(fd, events, ready)

    def change(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        self._selector.modify(fd, events, ready)

    def forget(self, fd: int) -> None:
        """Stop watching; the descriptor may be closed already."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def at(self, timer: Timer, due: float) -> None:
        """Set or move a timer; INFINITY: never."""
        timer.due = due
        if due < timer.entry:
            timer.entry = due
            heapq.heappush(self._timers, (due, next(self._number), timer))

    def call(self, action: Callable[[], None]) -> None:
        """Have the loop do something soon. From any thread, or a signal handler."""
        self._calls.append(action)
        with suppress(OSError):  # full: it is awake
            self._bell.send(b"!")

    def round(self, *, wait: bool = True) -> None:
        """Handle what has happened, after waiting for something to happen."""
        timeout = 0.0
        if wait and not self._calls:
            timeout = min(_LONGEST, max(0.0, self._next_timer() - self.now()))
        for key, events in self._selector.select(timeout):
            try:
                key.data(events)
            except Exception:
                _report()
        while self._calls:
            _guarded(self._calls.popleft())
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            self._ring(now)

    def close(self) -> None:
        self._selector.close()
        self._wake.close()
        self._bell.close()

    def _next_timer(self) -> float:
        return self._timers[0][0] if self._timers else INFINITY

    def _ring(self, now: float) -> None:
        at, _, timer = heapq.heappop(self._timers)
        if at != timer.entry:
            return  # it was moved to an earlier time, and has had its turn
        timer.entry = INFINITY
        if timer.due <= now:
            timer.due = INFINITY
            _guarded(timer.action)
        elif timer.due < INFINITY:
            self.at(timer, timer.due)

    def _woken(self, _events: int) -> None:
        with suppress(OSError):
            self._wake.recv(4096)


def _guarded(action: Callable[..., None], *args: Any) -> None:
    """A fault in one connection must not end the others."""
    try:
        action(*args)
    except Exception:
        _report()


def _report() -> None:
    logging.getLogger(__name__).exception("unexpected error in the loop")
