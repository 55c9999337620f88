"""Passes a committed stream on: whole events as they came, until the answer is complete or honestly said not to be."""

from collections.abc import Callable, Generator

from airouter.errors import DeadlineExceeded, RouterError, UpstreamBroken
from airouter.exchange.exchange import Exchange, Keepalive
from airouter.execution.attempt import Attempt
from airouter.upstream.sse import error_event

DONE = b"data: [DONE]\n\n"
Recover = Callable[[Attempt, RouterError], Generator[Keepalive, None, Attempt | None]]


def relay(
    exchange: Exchange, attempt: Attempt, recover: Recover
) -> Generator[Keepalive | bytes, None, None]:
    """The stream's bytes. It ends with `[DONE]` after a complete answer, with an error event after any other.

    Args:
        recover: given an attempt that broke off and why, the attempt that goes on where it ended, or None.
    """
    continued = False
    while True:
        try:
            yield from _pass_on(exchange, attempt)
            error = _why_incomplete(attempt)
        except DeadlineExceeded as late:
            error = late
        record = exchange.record
        record.inference_ms += attempt.inference_ms
        record.usage = None if continued else attempt.usage  # of a part: not the answer's
        if attempt.reader.state.garbage:
            record.notes.append(
                f"{attempt.reader.state.garbage} unreadable events of {attempt.backend.name} dropped"
            )
        attempt.record_step(error.message if error else None)
        attempt.close()
        if error is None:
            attempt.backend.breaker.succeed()
            exchange.settle("ok", 200)
            yield DONE
            return
        successor = (
            None if isinstance(error, DeadlineExceeded) else (yield from recover(attempt, error))
        )
        if successor is None:
            exchange.settle("truncated", 200, f"{error.code}: {error.message}")
            yield error_event(error.body())
            return
        attempt, continued = successor, True


def _pass_on(exchange: Exchange, attempt: Attempt) -> Generator[Keepalive | bytes, None, None]:
    while True:
        data = attempt.drain()
        if data:
            yield data
            exchange.heard()
        elif attempt.ended or attempt.reader.state.error is not None:
            return
        else:
            yield from exchange.pause()


def _why_incomplete(attempt: Attempt) -> RouterError | None:
    state, call = attempt.reader.state, attempt.call
    if state.error is not None:
        message = state.error.get("message")
        return UpstreamBroken(
            f"The backend {attempt.backend.name!r} broke off with an error: {str(message)[:300]}."
        )
    if state.complete:
        return None
    if call.error is not None:
        return call.error
    return attempt.problem() or UpstreamBroken(
        f"The backend {attempt.backend.name!r} ended its stream before the answer was complete."
    )
