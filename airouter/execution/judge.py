"""What a failed attempt means for the request: what to do next. Pure. (`resilience/failure.py`: what it means for the backend.)"""

from enum import Enum

from airouter.errors import (
    Busy,
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamError,
    UpstreamStatus,
)


class Move(Enum):
    """What to do with the request."""

    FINAL = "tell the client"
    NEXT = "ask the next backend"
    AGAIN = "ask the same backend once more, nothing was received"
    WIDER = "ask a backend with a larger context window"


_CONTEXT_MARKS = (
    b"context_length_exceeded",
    b"maximum context length",
    b"context length",
    b"exceeds the available context",
)
_POLICY_MARKS = (b"content_policy", b"content_filter", b"content policy")


def next_move(error: RouterError) -> Move:
    """A refusal of the request itself is final; another backend is asked where it may do better."""
    if isinstance(error, UpstreamStatus):
        return _for_status(error)
    if isinstance(error, UpstreamBroken):
        return Move.NEXT if error.received or error.resent else Move.AGAIN
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


def retry_after_of(error: RouterError) -> float | None:
    """The seconds after which a backend that was not willing said it would be; None when it did not say."""
    if (
        not isinstance(error, UpstreamStatus)
        or error.upstream_status not in (429, 503)
        or next_move(error) is not Move.NEXT
    ):
        return None
    said = error.upstream_headers.get("retry-after", "").strip()
    return float(said) if said.isascii() and said.isdigit() else None
