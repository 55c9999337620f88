"""Waits in one thread for whatever happens first: progress of a call, a wake-up, the client leaving,
or a time.

There is no thread per call and no lock: a classification and a speculative answer advance side by
side, a client that leaves is noticed at once (POLLRDHUP), and every limit is the timeout of the
same poll().
"""

import select
import socket
from collections.abc import Sequence
from typing import Protocol

from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone

# A client that half-closes its connection counts as gone: HTTP clients do not do that while they
# wait for an answer.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Call(Protocol):
    """A call to a backend, as far as waiting for it goes."""

    @property
    def finished(self) -> bool: ...

    @property
    def events(self) -> int:
        """The poll() events to wait for; 0: none, only `expires`."""
        ...

    @property
    def expires(self) -> float:
        """The monotonic time at which `expire()` is due."""
        ...

    def fileno(self) -> int: ...

    def advance(self) -> None:
        """Do what can be done without blocking. Never raises."""
        ...

    def expire(self, now: float) -> None: ...


class Poller:
    """One thread's poll(). Mutable state: what it is registered for; used by one thread.

    Args:
        client: the client's socket, whose closing is noticed.
    """

    def __init__(self, clock: Clock, client: socket.socket | None = None) -> None:
        self._clock = clock
        self._client_fd = client.fileno() if client is not None else -1
        self._watched: list[tuple[int, int, Call | None]] | None = None
        self._by_fd: dict[int, Call] = {}

    def wait(self, calls: Sequence[Call], until: float, wake: socket.socket | None = None) -> None:
        """Wait until something happened, at the latest until the monotonic time `until`; advance
        the calls that can go on, and expire those whose limit has passed.

        Raises:
            ClientGone: the client closed its connection.
        """
        now = self._clock.monotonic()
        watched: list[tuple[int, int, Call | None]] = []
        for call in calls:
            if call.finished:
                continue
            until = min(until, call.expires)
            events = call.events
            if events:
                watched.append((call.fileno(), events, call))
        if wake is not None:
            watched.append((wake.fileno(), select.POLLIN, None))
        if watched != self._watched:  # for each chunk of a stream they are the same
            self._watch(watched)
        poller, by_fd = self._poller, self._by_fd
        # poll() counts whole milliseconds: round up, or it spins through the last one.
        for fd, _events in poller.poll(min(max(0.0, (until - now) * 1000 + 0.999), 3_600_000)):
            if fd == self._client_fd:
                raise ClientGone
            woken = by_fd.get(fd)
            if woken is not None:
                woken.advance()
        now = self._clock.monotonic()
        for call in calls:
            if now >= call.expires:
                call.expire(now)

    def _watch(self, watched: list[tuple[int, int, Call | None]]) -> None:
        self._watched = watched
        self._poller = select.poll()
        self._by_fd = {fd: call for fd, _, call in watched if call is not None}
        for fd, events, _ in watched:
            self._poller.register(fd, events)
        if self._client_fd >= 0:
            self._poller.register(self._client_fd, _GONE)
