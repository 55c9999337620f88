"""Reads one small page from each of several backends, side by side, within one limit."""

from collections.abc import Callable, Collection, Mapping

from airouter.domain.clock import Clock
from airouter.domain.types import HttpRequest, Limits
from airouter.flow.driver import Poller
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.transport.call import Call

_MAX_BODY = 2_000_000  # bytes


def read_all(
    backends: Mapping[str, Backend], path: Callable[[Backend], str], clock: Clock, limit: float
) -> dict[str, bytes | None]:
    """The pages by the backends' names; None where one cannot be read, for whatever reason.

    Args:
        path: of the page, by its backend.
        limit: seconds for all of them.
    """
    until = clock.monotonic() + limit
    calls: dict[str, Call] = {}
    found: dict[str, bytes | None] = dict.fromkeys(backends)
    try:
        for name, backend in backends.items():
            try:
                request = HttpRequest("GET", path(backend), backend.headers)
                call = open_call(backend, request, Limits(limit, limit, limit, limit))
                calls[name] = call.start()
            except Exception:  # a check refused it, or its settings cannot be used
                continue
        wait_for(calls.values(), clock, until, _MAX_BODY)
        for name, call in calls.items():
            if call.complete and call.status == 200 and call.buffered <= _MAX_BODY:
                found[name] = call.take()
        return found
    finally:
        for call in calls.values():
            call.close()


def wait_for(calls: Collection[Call], clock: Clock, until: float, most: int) -> None:
    """Wait until all calls have finished.

    Args:
        until: seconds of the clock, after which the rest is not waited for.
        most: bytes of an answer; a call that receives more is closed.
    """
    poller = Poller(clock)
    while clock.monotonic() < until and not all(call.finished for call in calls):
        poller.wait(list(calls), until)
        for call in calls:
            if call.buffered > most:
                call.close()
