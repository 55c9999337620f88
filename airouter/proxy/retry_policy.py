"""What a failed attempt means for the request: what to do next. Pure.

What it means for the backend is in `resilience/failure.py`.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum

from airouter.dialects.openai_errors import context_exceeded, model_is_gone, refuses_content
from airouter.domain.clock import Clock
from airouter.domain.errors import (
    Busy,
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamError,
    UpstreamStatus,
)

_LONGEST = 86_400.0  # seconds; a longer wait is a mistake, or no use to a client


class Move(Enum):
    """What to do with the request."""

    FINAL = "tell the client"
    NEXT = "ask the next backend"
    AGAIN = "ask the same backend once more, nothing was received"
    WIDER = "ask a backend with a larger context window"


# 4xx that are about the deployment, its address, its account or its load, not about the request.
_DEPLOYMENT = (401, 402, 403, 405, 407, 408, 410, 425, 429, 499)
_QUOTA_MARKS = (b"insufficient_quota", b"credit balance is too low", b"billing_hard_limit")


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


def _for_status(error: UpstreamStatus, named: bool) -> Move:
    status, body = error.upstream_status, error.upstream_body.lower()
    if refuses_content(error):
        return Move.FINAL  # a refusal is passed on, never routed around
    if model_is_gone(error):
        return Move.FINAL if named else Move.NEXT
    if context_exceeded(status, body):
        return Move.WIDER
    if status == 500:
        return Move.AGAIN
    if status in _DEPLOYMENT or status > 500 or any(mark in body for mark in _QUOTA_MARKS):
        return Move.NEXT
    return Move.FINAL


def retry_after_of(error: RouterError) -> float | None:
    """The seconds after which a backend that was not willing said it would be; None when it did
    not say."""
    if (
        not isinstance(error, UpstreamStatus)
        or error.upstream_status not in (429, 503)
        or next_move(error) is not Move.NEXT
    ):
        return None
    return retry_after(error.upstream_headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait that an answer's headers state: as a number, in milliseconds, or as a
    date. None when they state none, or none that makes sense (negative, past, more than a
    day)."""
    said = _number(headers.get("retry-after-ms", ""))
    if said is not None:
        said /= 1000
    else:
        text = headers.get("retry-after", "").strip()
        said = _number(text)
        if said is None:
            said = _seconds_until(text, headers.get("date", ""))
    return said if said is not None and 0 <= said <= _LONGEST else None


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _seconds_until(text: str, server_now: str) -> float | None:
    """By the server's own clock where it tells the time: ours may differ."""
    at = _date(text)
    if at is None:
        return None
    now = _date(server_now)
    left = at - (Clock.time() if now is None else now)
    return left if left > 0 else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
