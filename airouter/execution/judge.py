"""What a failed attempt means: for the request (what to do next) and for the backend (whether it is held against it). Pure."""

from enum import Enum

from airouter.errors import Busy, ConnectFailed, NoBackend, RouterError, UpstreamBroken, UpstreamError, UpstreamStatus, UpstreamTimeout
from airouter.resilience.breaker import Failure


class Move(Enum):
    """What to do with the request."""

    FINAL = "tell the client"
    NEXT = "ask the next backend"
    AGAIN = "ask the same backend once more, nothing was received"
    WIDER = "ask a backend with a larger context window"


_CONTEXT_MARKS = (b"context_length_exceeded", b"maximum context length", b"context length", b"exceeds the available context")
_POLICY_MARKS = (b"content_policy", b"content_filter", b"content policy")


def next_move(error: RouterError) -> Move:
    """A refusal of the request itself is final; another backend is asked where it may do better."""
    if isinstance(error, UpstreamStatus):
        return _for_status(error)
    if isinstance(error, UpstreamBroken):
        return Move.NEXT if error.received else Move.AGAIN
    if isinstance(error, UpstreamError | NoBackend | Busy):
        return Move.NEXT
    return Move.FINAL


def _for_status(error: UpstreamStatus) -> Move:
    status, body = error.upstream_status, error.upstream_body.lower()
    if any(mark in body for mark in _POLICY_MARKS):
        return Move.FINAL  # a refusal is passed on, never routed around
    if status == 400 and any(mark in body for mark in _CONTEXT_MARKS):
        return Move.WIDER
    if status == 500:
        return Move.AGAIN
    if status in (401, 403, 408, 429) or status > 500:
        return Move.NEXT
    return Move.FINAL


def failure_of(error: RouterError) -> Failure | None:
    """How an error counts against the backend; None when it does not: 4xx, a client's own limit, no slot."""
    if isinstance(error, ConnectFailed):
        return "connect"
    if isinstance(error, UpstreamTimeout):
        return {"connect": "connect", "first_byte": "silent", "idle": "silent"}.get(error.phase, "other")  # type: ignore[return-value]
    if isinstance(error, UpstreamStatus):
        return "other" if error.upstream_status >= 500 else None
    return "other" if isinstance(error, UpstreamError) else None
