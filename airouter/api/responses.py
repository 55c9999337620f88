"""Turns a flow into an HTTP response in the client's dialect: headers, body or stream. Errors
become a status until the response has started, and an event of the stream afterwards."""

from collections.abc import Callable
from functools import partial

from airouter.dialects.openai import OPENAI
from airouter.dialects.openai_errors import openai_shaped
from airouter.dialects.openai_stream import error_event
from airouter.domain.dialect import ClientDialect, Translator
from airouter.domain.errors import ClientGone, RouterError, UpstreamStatus
from airouter.domain.types import immutable
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Sending
from airouter.flow.waits import Keepalive, Wait, Waiting
from airouter.proxy.request_state import Decided, Flow, Head

STREAM_HEADERS = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]


@immutable
class Answer:
    """Status, headers and body; the body is complete, or a flow that yields it in chunks."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Sending


def respond(exchange: Exchange, flow: Flow, dialect: ClientDialect = OPENAI) -> Waiting[Answer]:
    """Run the flow up to its first item and build the response from it.

    Raises:
        RouterError: the flow failed before the response started.
    """
    first = next(flow)
    while type(first) is Wait:
        yield first
        first = next(flow)
    if isinstance(first, Head) and first.body is not None:
        flow.close()
        headers = [("Content-Type", "application/json"), *answer_headers(first.decided)]
        return Answer(200, headers, _translated(first.body, dialect))
    writer = dialect.writer(stream=True)
    content_type = ("Content-Type", dialect.stream_type)
    if isinstance(first, Head):
        headers = [content_type, *answer_headers(first.decided), *STREAM_HEADERS]
        return Answer(200, headers, _rest(exchange, flow, dialect, writer))
    headers = [content_type, ("X-Router-Session", exchange.id8), *STREAM_HEADERS]
    return Answer(200, headers, _opened(exchange, flow, dialect, writer))


def answer_headers(decided: Decided) -> list[tuple[str, str]]:
    """The X-Router-* headers of a committed answer: which route, backend and decision it comes
    from."""
    record, decision = decided.exchange.record, decided.decision
    headers = [
        ("X-Router-Session", decided.exchange.id8),
        ("X-Router-Route", decided.plan.route),
        ("X-Router-Label", decision.label),
        ("X-Router-Task", decided.demand.task),
        ("X-Router-Tier", decision.tier),
        ("X-Router-Decision-Ms", f"{record.classification_ms:.3f}"),
        ("X-Router-Backend", record.backend or ""),
        ("X-Router-Speculative", record.speculation or "none"),
    ]
    if decision.p is not None:
        headers.append(("X-Router-P", f"{decision.p:.3f}"))
    if decision.threshold is not None:
        headers.append(("X-Router-Threshold", f"{decision.threshold:.3f}"))
    if record.session_policy:
        headers.append(("X-Router-Session-Policy", record.session_policy))
    if record.adjusted:
        headers.append(("X-Router-Adjusted", printable("; ".join(record.adjusted))))
    if record.notes:
        headers.append(("X-Router-Note", printable("; ".join(record.notes))))
    if len(record.attempts) > 1:
        headers.append(("X-Router-Attempts", printable(", ".join(map(str, record.attempts)))))
    return headers


def printable(value: str) -> str:
    """One line of ASCII, at most 500 characters, as the value of a header."""
    return "".join(c if " " <= c <= "~" else "?" for c in value)[:500]


def _translated(body: bytes, dialect: ClientDialect) -> bytes:
    writer = dialect.writer(stream=False)
    return body if writer is None else writer.feed(body) + writer.flush()


def _opened(
    exchange: Exchange, flow: Flow, dialect: ClientDialect, writer: Translator | None
) -> Sending:
    """A stream that starts before the first content is available."""
    yield dialect.comment
    yield from _rest(exchange, flow, dialect, writer)


def _rest(
    exchange: Exchange, flow: Flow, dialect: ClientDialect, writer: Translator | None
) -> Sending:
    chunks = _chunks(exchange, flow, dialect.comment)
    return chunks if writer is None else _written(chunks, dialect.comment, writer)


def _written(chunks: Sending, comment: bytes, writer: Translator) -> Sending:
    for chunk in chunks:
        if isinstance(chunk, Wait):
            relay = None if chunk.relay is None else partial(_relayed, chunk.relay, writer)
            yield Wait(chunk.until, chunk.wake, relay)
        elif chunk is comment:
            yield chunk
        elif written := writer.feed(chunk):
            yield written
    if rest := writer.flush():
        yield rest


def _relayed(relay: Callable[[], bytes], writer: Translator) -> bytes:
    """What a driver may send without the flow, translated."""
    data = relay()
    return writer.feed(data) if data else b""


def _chunks(exchange: Exchange, flow: Flow, comment: bytes) -> Sending:
    """The rest of the answer in OpenAI's format."""
    try:
        for item in flow:
            if isinstance(item, Wait | bytes):
                yield item
            elif isinstance(item, Keepalive):
                yield comment
    except ClientGone:
        exchange.gone()
    except UpstreamStatus as error:
        exchange.finish("upstream_error", 200, error.message, error.reason)
        yield error_event(openai_shaped(error))
    except RouterError as error:
        exchange.fail(error)
        yield error_event(error.body())
    finally:
        flow.close()
