"""Carries out the waits of an exchange's flows in the thread that serves it: under a WSGI server
that knows nothing of waits, and for what computes in a thread anyway.

A flow is a generator: it computes, and yields a `Wait` when it has to wait. So one thread advances
several calls side by side, without a lock, and the same flow runs under any driver: this one, the
worker's loop (`server/serving.py`), or one of the tests' that needs neither sockets nor time. All
limits, the client's leaving (POLLRDHUP) and the calls' progress are one poll().
"""

import select
import socket
from collections.abc import Generator, Sequence
from typing import TypeVar

from airouter.domain.clock import Clock
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Call, Keepalive, Wait, Waiting

Item = TypeVar("Item")
Result = TypeVar("Result")


def drive(
    exchange: Exchange, flow: Generator[Wait | Item, None, Result]
) -> Generator[Item, None, Result]:
    """The flow without its waits: each is carried out when the flow yields it."""
    poller = Poller(exchange.clock, exchange.client)
    try:
        item = next(flow)
        while True:
            if type(item) is Wait:
                if not poller.wait(exchange.calls, item.until, item.wake):
                    exchange.leave()
            else:
                yield item  # type: ignore[misc]  # not a Wait
            item = next(flow)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        flow.close()


def complete(exchange: Exchange, flow: Generator[Wait | Keepalive, None, Result]) -> Result:
    """Run a flow that sends nothing to its end, and return its result."""
    driven = drive(exchange, flow)
    while True:
        try:
            next(driven)  # a keepalive, which is not sent
        except StopIteration as end:
            result: Result = end.value
            return result


def waits_of(flow: Waiting[Result]) -> Generator[Wait, None, Result]:
    """The flow without its keepalives, where none can be sent."""
    try:
        while True:
            item = next(flow)
            if isinstance(item, Wait):
                yield item
    except StopIteration as end:
        result: Result = end.value
        return result


# A client that half-closes its connection counts as gone: HTTP clients do not do that while they
# wait for an answer.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


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

    def wait(self, calls: Sequence[Call], until: float, wake: socket.socket | None = None) -> bool:
        """Wait until something happened, at the latest until the monotonic time `until`; advance
        the calls that can go on, and expire those whose limit has passed.

        Returns:
            Whether the client is still there.
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
                return False
            woken = by_fd.get(fd)
            if woken is not None:
                woken.advance()
        now = self._clock.monotonic()
        for call in calls:
            if now >= call.expires:
                call.expire(now)
        return True

    def _watch(self, watched: list[tuple[int, int, Call | None]]) -> None:
        self._watched = watched
        self._poller = select.poll()
        self._by_fd = {fd: call for fd, _, call in watched if call is not None}
        for fd, events, _ in watched:
            self._poller.register(fd, events)
        if self._client_fd >= 0:
            self._poller.register(self._client_fd, _GONE)
