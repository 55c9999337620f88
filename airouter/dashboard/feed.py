"""A server-sent event that all open dashboards share: it is computed once for all of them, and only
while at least one is open."""

import threading
from collections.abc import Callable
from typing import Any

import orjson

from airouter.domain.clock import Clock
from airouter.telemetry.logs import Log

_UNWATCHED = 10.0  # seconds after which the thread ends
_SHARE = 20  # making it takes at most one part in so many of the time


class Feed:
    """Mutable state: the latest event and its number, and the thread that makes the next.

    Args:
        name: of the event.
        make: makes the data; called in the feed's thread.
        every: seconds between two events; more where making one takes long.
    """

    def __init__(
        self, name: str, make: Callable[[], dict[str, Any]], every: float, clock: Clock, log: Log
    ) -> None:
        self.name = name
        self._make, self._every, self._clock, self._log = make, every, clock, log
        self._lock = threading.Lock()
        self._watched_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._failed = False
        self.latest: tuple[int, bytes] = 0, b""  # (number of the event, the event)

    def watch(self) -> None:
        """Keep it going for some seconds."""
        self._watched_at = self._clock.monotonic()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopped.is_set():
                    self._thread = threading.Thread(
                        target=self._run, name=f"dashboard-{self.name}", daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join(5)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            with self._lock:
                if self._clock.monotonic() - self._watched_at > _UNWATCHED:
                    self._thread = None
                    self.latest = self.latest[0], b""  # it would be old when it is wanted again
                    return
            began = self._clock.monotonic()
            self._renew()
            pause = max(self._every, _SHARE * (self._clock.monotonic() - began))

    def _renew(self) -> None:
        try:
            event = event_of(self.name, self._make())
        except Exception as error:  # keep the thread alive
            if not self._failed:
                self._failed = True
                self._log.warning(
                    "The dashboard's event %s cannot be made: %s: %s",
                    self.name,
                    type(error).__name__,
                    str(error),
                )
            return
        self._failed = False
        number, before = self.latest
        if event != before:
            self.latest = number + 1, event


def event_of(name: str, data: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
