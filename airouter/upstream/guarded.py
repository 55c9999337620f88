"""A side call (a classification, a search) under its backend's breaker: what is known to be down is not asked again and again."""

from collections.abc import Generator
from typing import Any, TypeVar

from airouter.domain.errors import NoBackend, UpstreamError, UpstreamStatus, UpstreamTimeout
from airouter.resilience.failure import failure_of
from airouter.upstream.backend import Backend

T = TypeVar("T")


def refusal(backend: Backend, status: int, body: bytes = b"") -> UpstreamStatus:
    """A classifier's answer with a status other than 200: a 4xx is the request's own fault, a 5xx
    the backend's."""
    error = UpstreamStatus(
        f"The classifier {backend.name!r} answered with status {status}.",
        upstream_status=status,
        body=body,
        headers={},
    )
    error.code = f"status_{status}"
    return error


def guarded(
    exchange: Any, backend: Backend, work: Generator[Any, None, T], *, silence_counts: bool = True
) -> Generator[Any, None, T]:
    """Run `work` and tell the breaker how it went.

    Args:
        silence_counts: False when the call's limit is so short that a healthy backend may miss it.

    Raises:
        NoBackend: the backend is not asked now.
    """
    permit = None if backend.out or backend.pause.reason is not None else backend.breaker.allow()
    if permit is None:
        work.close()
        raise NoBackend(
            f"The backend {backend.name!r} is unavailable: "
            "it is out of service, or it failed recently.",
            code="backend_unavailable",
        )
    exchange.hold(permit.forgotten)
    try:
        result = yield from work
    except UpstreamError as error:
        kind = failure_of(error)
        if isinstance(error, UpstreamTimeout) and (
            kind == "other" or (kind == "silent" and not silence_counts)
        ):
            kind = None  # slower than this call may be, but alive
        if kind is not None:
            permit.failed(kind)
        elif isinstance(error, UpstreamStatus):
            permit.answered()
            if error.upstream_status == 404:
                backend.relearn()  # it may serve another model by now
        raise
    else:
        permit.answered()
        return result
    finally:
        permit.forgotten()  # unless it was settled
        exchange.drop(permit.forgotten)
