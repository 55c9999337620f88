"""A failover chain: in which order its backends are asked, which are left after an error, and which
error the client is told. Pure, but for looking at the backends' health."""

from collections.abc import Sequence

from airouter.domain.errors import Busy, NoBackend, RouterError, UpstreamStatus
from airouter.proxy.retry_policy import Move, next_move, retry_after
from airouter.upstream.backend import Backend

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
        RouterError: the error itself, when nobody may.
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
