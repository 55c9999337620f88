"""One request's event loop: its calls to backends and its client's socket, waited for together in the request's own thread.

So there is no thread per call and no lock: a classification and a speculative answer advance side by side, a client that
leaves is seen at once (POLLRDHUP), and every limit is the timeout of the same poll().
"""

import select
import socket
from typing import Protocol, TypeVar

from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone

# A client that half-closes its connection counts as gone: HTTP clients do not do that while they wait for an answer.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Call(Protocol):
    """What can be waited for: a call to a backend, without its meaning."""

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


AnyCall = TypeVar("AnyCall", bound=Call)


class Poller:
    """Waits for whatever happens first: progress of a call, a wake-up, the client leaving, a limit, or `until`."""

    def __init__(self, clock: Clock, client: socket.socket | None = None) -> None:
        self.clock = clock
        self.client = client
        self._client_fd = client.fileno() if client is not None else -1
        self._calls: list[Call] = []
        self._watched: list[tuple[int, int, Call | None]] | None = None
        self._by_fd: dict[int, Call] = {}

    def add(self, call: AnyCall) -> AnyCall:
        self._calls.append(call)
        return call

    def remove(self, call: Call) -> None:
        if call in self._calls:
            self._calls.remove(call)

    def wait(self, until: float, wake: socket.socket | None = None) -> None:
        """Wait until something happened, at the latest until the monotonic time `until`.

        Raises:
            ClientGone: the client closed its connection.
        """
        now = self.clock.monotonic()
        watched: list[tuple[int, int, Call | None]] = []
        for call in self._calls:
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
        now = self.clock.monotonic()
        for call in self._calls:
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
