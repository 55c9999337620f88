"""A failover chain: in which order its backends are asked, who is left after an error, and which error the client is told."""

from collections.abc import Sequence

from airouter.errors import Busy, NoBackend, RouterError, UpstreamStatus
from airouter.execution.judge import Move, next_move
from airouter.resilience.breaker import Permit
from airouter.resilience.failure import failure_of
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend


def in_order(backends: Sequence[Backend]) -> list[Backend]:
    """Those that can answer now first; then those that pause, cool, refuse. A cloud never overtakes a local backend that
    only pauses: it is for when the local ones failed or cool."""
    paused_local = any(b.settings.local and b.pause.reason for b in backends)

    def rank(backend: Backend) -> float:
        if backend.out or backend.breaker.state == "open":
            return 3
        if not backend.breaker.available:
            return 2
        if backend.pause.reason:
            return 1
        return 1.5 if paused_local and not backend.settings.local else 0

    return sorted(backends, key=rank)


def permit_for(backend: Backend, others: Sequence[Backend]) -> Permit:
    """The right to ask a backend once. One that cools is asked only when none of the others can answer.

    Raises:
        NoBackend: it may not be asked now.
    """
    if backend.out:
        raise NoBackend(f"The backend {backend.name!r} is out of service.", code="backend_out")
    permit = backend.breaker.allow(last_resort=not any(_can_answer(other) for other in others))
    if permit is None:
        wait = backend.breaker.retry_after()
        raise NoBackend(
            f"The backend {backend.name!r} failed repeatedly and is not asked for the next {wait} s.",
            code="backend_unavailable",
            retry_after=wait,
        )
    return permit


def somebody_else(backend: Backend, others: Sequence[Backend]) -> bool:
    """Whether a request need not wait for a backend that loads its model: another can answer now. A cloud does not count."""
    return any(
        _can_answer(o) and not o.pause.reason and (o.settings.local or not backend.settings.local)
        for o in others
    )


def remaining(candidates: list[Backend], backend: Backend, error: RouterError) -> list[Backend]:
    """Who may still be asked after an error of `backend`.

    Raises:
        RouterError: the error itself, when nobody may.
    """
    if isinstance(error, Busy):
        return [
            b for b in candidates if b.settings.local
        ]  # busy is not failed: no reason to go to a cloud
    move = next_move(error)
    if move is Move.FINAL:
        raise error
    if move is Move.WIDER:
        mine = backend.settings.context_window or 0
        wider = [b for b in candidates if (b.settings.context_window or 0) > mine]
        if not wider:
            raise error
        return wider
    return candidates


def more_telling(last: RouterError | None, error: RouterError) -> RouterError:
    """Of two errors the one to tell the client: an answer from a backend says more than that it was not asked."""
    if last is not None and isinstance(error, NoBackend) and not isinstance(last, NoBackend):
        return last
    return error


def says_when(error: RouterError) -> bool:
    """Whether the client is told when to come back: repeating the request then multiplies nothing."""
    return error.retry_after is not None or (
        isinstance(error, UpstreamStatus) and "retry-after" in error.upstream_headers
    )


def settle(permit: Permit, backend: Backend, error: RouterError, log: Log) -> None:
    """Tell the breaker how an attempt failed; some failures say nothing about the backend."""
    kind = failure_of(error)
    if kind is not None:
        before = backend.breaker.state
        permit.failed(kind)
        if backend.breaker.state != before:
            log.warning(
                "Backend %s is %s after: %s", backend.name, backend.breaker.state, error.message
            )
    elif isinstance(error, UpstreamStatus):
        permit.answered()
        if error.upstream_status == 404:
            backend.relearn()  # it may serve another model by now
    else:
        permit.forgotten()


def _can_answer(backend: Backend) -> bool:
    return not backend.out and backend.breaker.available
