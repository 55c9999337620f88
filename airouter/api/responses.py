"""Turns a flow into an HTTP response. Errors become a status until the response has started, and an
event of the stream afterwards."""

from collections.abc import Iterator

from flask import Response

from airouter.dialects.openai_errors import openai_shaped
from airouter.dialects.openai_stream import error_event
from airouter.domain.errors import ClientGone, RouterError, UpstreamStatus
from airouter.domain.types import immutable
from airouter.flow.exchange import Exchange, Keepalive
from airouter.proxy.request_state import Flow, Head
from airouter.proxy.response_headers import STREAM_HEADERS

# One newline only: an empty event confuses clients that expect an id in every event.
COMMENT = b": waiting\n"


@immutable
class Answer:
    """Status, headers and body; the body is complete, or an iterator of chunks."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterator[bytes]

    def response(self) -> Response:
        """As a Flask response."""
        return Response(self.body, self.status, self.headers, direct_passthrough=True)


def respond(exchange: Exchange, flow: Flow) -> Answer:
    """Run the flow up to its first item and build the response from it.

    Raises:
        RouterError: the flow failed before the response started.
    """
    first = next(flow)
    if isinstance(first, Head) and first.body is not None:
        flow.close()
        return Answer(first.status, first.headers, first.body)
    if isinstance(first, Head):
        return Answer(first.status, first.headers, _rest(exchange, flow))
    headers = [
        ("Content-Type", "text/event-stream; charset=utf-8"),
        ("X-Router-Session", exchange.id8),
    ]
    return Answer(200, [*headers, *STREAM_HEADERS], _opened(exchange, flow))


def _opened(exchange: Exchange, flow: Flow) -> Iterator[bytes]:
    """A stream that starts before the first content is available."""
    yield COMMENT
    yield from _rest(exchange, flow)


def _rest(exchange: Exchange, flow: Flow) -> Iterator[bytes]:
    try:
        for item in flow:
            if isinstance(item, bytes):
                yield item
            elif isinstance(item, Keepalive):
                yield COMMENT
    except ClientGone:
        exchange.gone()
    except UpstreamStatus as error:
        exchange.settle("upstream_error", 200, error.message)
        yield error_event(openai_shaped(error))
    except RouterError as error:
        exchange.fail(error)
        yield error_event(error.body())
    finally:
        flow.close()
