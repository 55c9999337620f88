"""The only place that opens a call to a backend: requests, side calls, recovery, pass-through and
probes all go through `open_call()`, and so do the checks on what is sent."""

from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.backend import Backend
from airouter.upstream.transport.call import Call


def open_call(backend: Backend, request: HttpRequest, limits: Limits | None = None) -> Call:
    """A call that is not started yet.

    Args:
        limits: in seconds; None: the backend's own.

    Raises:
        RouterError: a check does not let the request pass (see `egress.py`).
    """
    for check in backend.egress:
        request = check(backend.name, backend.settings, request)
    return Call(
        backend.origin, request, limits or backend.settings.limits, backend.clock, backend.name
    )
