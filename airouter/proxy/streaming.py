"""Relays a committed stream: whole events as they came, until the answer is complete, or an error
event says that it is not."""

from collections.abc import Callable, Generator
from functools import cache

from airouter.dialects.openai_errors import reason_of
from airouter.dialects.openai_stream import error_event
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamBroken
from airouter.flow.exchange import Exchange
from airouter.flow.waits import INFINITY, Keepalive, Wait
from airouter.proxy.attempt import Attempt
from airouter.proxy.recovery import Recovery

DONE = b"data: [DONE]\n\n"
_USAGE_WAIT = 1.0  # seconds after the last finish_reason in which a usage chunk may still come
_CLOSE_WAIT = 0.2  # seconds after [DONE] in which the response may end, so that its socket is kept


def relay(
    exchange: Exchange, attempt: Attempt, recover: Callable[[], Recovery]
) -> Generator[Wait | Keepalive | bytes, None, None]:
    """The stream's bytes. It ends with `[DONE]` after a complete answer, with an error event after
    any other.

    Args:
        recover: makes what continues a stream that broke off.
    """
    continued, recovery = False, cache(recover)
    record = exchange.record
    while True:
        record.enter("inference_ms", attempt.began)
        try:
            yield from _pass_on(exchange, attempt, recovery)
            error = _why_incomplete(attempt)
        except DeadlineExceeded as late:
            error = late
        state = attempt.state
        record.leave()
        record.inference_ms += attempt.inference_ms
        record.gap_ms, record.longest_gap_ms = attempt.gaps_ms(record.longest_gap_ms)
        record.usage = None if continued else attempt.answer.usage  # of a part: not the answer's
        record.adjusted, record.repaired_calls = attempt.adjusted, attempt.answer.repaired
        if state.garbage:
            record.notes.append(
                f"{state.garbage} unreadable events of {attempt.backend.name} dropped"
            )
        attempt.record_step(error.message if error else None)
        attempt.close()
        if error is None:
            attempt.backend.breaker.succeed()
            exchange.finish("ok", 200)
            yield DONE
            return
        out_of_time = isinstance(error, DeadlineExceeded)
        successor = None if out_of_time else (yield from recovery().successor(attempt, error))
        if successor is None:
            exchange.finish("truncated", 200, f"{error.code}: {error.message}", error.reason)
            attempt.answer.release()
            if held := attempt.answer.drain():
                yield held
            yield error_event(error.body())
            return
        attempt, continued = successor, True


def _pass_on(
    exchange: Exchange, attempt: Attempt, recovery: Callable[[], Recovery]
) -> Generator[Wait | Keepalive | bytes, None, None]:
    state, ends_at, said = attempt.state, INFINITY, -1
    while True:
        data = attempt.drain()
        if data:
            yield data
            exchange.heard()
            continue
        if attempt.answer.held_at_gap:
            if recovery().possible(attempt):
                return
            attempt.answer.pass_gap()  # the client still gets what follows
            continue
        if attempt.ended or state.error is not None:
            return
        if state.complete:
            now = exchange.clock.monotonic()
            if state.said != said:  # some servers give a reason with each piece
                ends_at, said = INFINITY, state.said
            ends_at = min(ends_at, now + (_CLOSE_WAIT if state.done else _USAGE_WAIT))
            if now >= ends_at:
                return
        yield from exchange.wait(ends_at, relay=None if state.complete else attempt.relayed)


def _why_incomplete(attempt: Attempt) -> RouterError | None:
    state, call, name = attempt.state, attempt.call, repr(attempt.backend.name)
    if state.gap:
        return UpstreamBroken(f"The backend {name} sent an event that cannot be parsed.")
    if state.error is not None:
        message = reason_of(state.error)[:300].rstrip(".") or "no reason given"
        return UpstreamBroken(
            f"The backend {name} interrupted its stream with an error: {message}."
        )
    if state.complete:
        return None
    if call.error is not None:
        return call.error
    return attempt.problem() or UpstreamBroken(
        f"The backend {name} ended its stream before the answer was complete."
    )
