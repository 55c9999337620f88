"""Failover as a policy: in which order a chain's backends are asked, for how long, what an error
means for the request, which backends are left, and which error the client is told.

Pure, but for looking at the backends' health. What an error means for the backend is in
`resilience/failure.py`.
"""

from collections.abc import Mapping, Sequence
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
from airouter.upstream.backend import Backend

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
    """The `Retry-After` of a backend that rejected the request for now, in seconds; None: none."""
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


_CHARS_PER_SECOND = 3500  # of a prompt, read at a slow GPU's 1,000 tokens per second


def in_order(backends: Sequence[Backend]) -> list[Backend]:
    """Those that can answer now first; then local ones that are full, then those that pause, cool,
    refuse.

    A cloud never overtakes a local backend that is only full or paused: it is for when the local
    ones before it failed or cool.
    """
    if len(backends) < 2:
        return list(backends)
    ranked, waiting = [], 0.0
    for backend in backends:
        rank = _rank(backend)
        if backend.settings.local:
            waiting = max(waiting, rank if rank in (_FULL, _PAUSED) else 0.0)
        elif rank < _COOLING:
            rank = max(rank, waiting)
        ranked.append((rank, backend))
    return [backend for _, backend in sorted(ranked, key=lambda pair: pair[0])]


_FULL, _PAUSED, _COOLING, _REFUSED = 0.5, 1.0, 2.0, 3.0


def _rank(backend: Backend) -> float:
    if backend.out or backend.breaker.state == "open":
        return _REFUSED
    if not backend.breaker.available:
        return _COOLING
    if backend.pause.reason:
        return _PAUSED
    return _FULL if backend.settings.local and backend.limiter.full else 0.0


def first_byte_limit(backend: Backend, others: Sequence[Backend], prompt_chars: int) -> float:
    """Seconds to wait for the first content of a stream.

    Args:
        others: those of the chain that would be asked next. A local backend does not count as an
            alternative to a cloud, which often thinks for long.
        prompt_chars: length of the prompt; a long one takes longer to read.
    """
    spec = backend.settings
    if any(other.can_answer_now for other in others if spec.local or not other.settings.local):
        seconds = spec.first_byte_failover + prompt_chars / _CHARS_PER_SECOND
        return min(seconds, spec.first_byte_timeout)
    return spec.first_byte_timeout


def another_can_answer(backend: Backend, others: Sequence[Backend]) -> bool:
    """Whether a request need not wait for a backend that loads its model. For a local backend a
    cloud does not count."""
    return any(
        o.can_answer_now and (o.settings.local or not backend.settings.local) for o in others
    )


def remaining(
    candidates: list[Backend], backend: Backend, error: RouterError, *, named: bool = False
) -> list[Backend]:
    """Who may still be asked after an error of `backend`.

    Args:
        named: the client chose the backend by its model's name.

    Raises:
        RouterError: the error itself, if no backend may be asked.
    """
    if isinstance(error, Busy):  # busy is not failed: no reason to use a cloud
        return [b for b in candidates if b.settings.local]
    move = next_move(error, named=named)
    if move is Move.FINAL:
        raise error
    if move is Move.WIDER:
        mine = backend.context_window or 0
        wider = [b for b in candidates if (b.context_window or 0) > mine]
        if not wider:
            raise error
        return wider
    return candidates


def more_telling(last: RouterError | None, error: RouterError) -> RouterError:
    """Of two errors the one to tell the client: a backend's answer says more than that another was
    not asked."""
    if last is not None and isinstance(error, NoBackend) and not isinstance(last, NoBackend):
        return last
    return error


def says_when(error: RouterError) -> bool:
    """Whether the client is told when to try again."""
    return error.retry_after is not None or (
        isinstance(error, UpstreamStatus) and retry_after(error.upstream_headers) is not None
    )
