"""What a failed attempt means for the request: what to do next. Pure.

What it means for the backend is in `resilience/failure.py`.
"""

import re
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
_MODEL_GONE = re.compile(
    rb"model_not_found|no such model|model\b[^{}]{0,120}?\b(?:not found|does not exist|not exist)"
)
_POLICY_MARKS = (b"content_policy", b"content_filter", b"content policy")


def next_move(error: RouterError, *, named: bool = False) -> Move:
    """A refusal of the request itself is final; another backend is asked where it may do better.

    Args:
        named: the client chose the backend by its model's name, so that an unknown model is its
            own mistake.
    """
    if isinstance(error, UpstreamStatus):
        return _for_status(error, named)
    if isinstance(error, UpstreamBroken):
        quick = not (error.received or error.resent or error.silent)
        return Move.AGAIN if quick else Move.NEXT
    if isinstance(error, UpstreamError | NoBackend | Busy):
        return Move.NEXT
    return Move.FINAL


def model_is_gone(error: RouterError) -> bool:
    """Whether a backend says that it does not serve the model it was asked for."""
    if not isinstance(error, UpstreamStatus) or error.upstream_status not in (400, 404):
        return False
    body = error.upstream_body.lower()
    return error.upstream_status == 404 or bool(_MODEL_GONE.search(body))


def _for_status(error: UpstreamStatus, named: bool) -> Move:
    status, body = error.upstream_status, error.upstream_body.lower()
    if any(mark in body for mark in _POLICY_MARKS):
        return Move.FINAL  # a refusal is passed on, never routed around
    if model_is_gone(error):
        return Move.FINAL if named else Move.NEXT
    if status in (400, 413, 422, 500) and any(mark in body for mark in _CONTEXT_MARKS):
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
