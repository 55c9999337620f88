"""Passes a committed stream on: whole events as they came, until the answer is complete or honestly said not to be."""

from collections.abc import Generator

from airouter.errors import DeadlineExceeded, RouterError, UpstreamBroken
from airouter.exchange.exchange import Exchange, Keepalive
from airouter.execution.attempt import Attempt
from airouter.upstream.sse import error_event

DONE = b"data: [DONE]\n\n"


def relay(exchange: Exchange, attempt: Attempt) -> Generator[Keepalive | bytes, None, None]:
    """The stream's bytes. It ends with `[DONE]` after a complete answer, with an error event after any other."""
    error: RouterError | None = None
    try:
        while True:
            data = attempt.drain()
            if data:
                yield data
                exchange.heard()
            if attempt.reader.state.error is not None or (attempt.ended and not attempt.has_pending):
                break
            if not attempt.has_pending:
                yield from exchange.pause()
    except DeadlineExceeded as late:
        error = late
    _note_end(exchange, attempt)
    error = error or _why_incomplete(attempt)
    attempt.record_step(error.message if error else None)
    attempt.close()
    if error is None:
        exchange.settle("ok", 200)
        yield DONE
    else:
        exchange.settle("truncated", 200, f"{error.code}: {error.message}")
        yield error_event(error.body())


def _note_end(exchange: Exchange, attempt: Attempt) -> None:
    record = exchange.record
    record.inference_ms, record.usage = attempt.inference_ms, attempt.usage


def _why_incomplete(attempt: Attempt) -> RouterError | None:
    state, call = attempt.reader.state, attempt.call
    if state.error is not None:
        message = state.error.get("message")
        return UpstreamBroken(f"The backend {attempt.backend.name!r} broke off with an error: {str(message)[:300]}.")
    if state.complete:
        return None
    if call.error is not None:
        return call.error
    return attempt.problem() or UpstreamBroken(f"The backend {attempt.backend.name!r} ended its stream before the answer was complete.")
