"""From a flow to an HTTP answer: a status while there is still a choice, an event of the stream
afterwards."""

from collections.abc import Iterator

from flask import Response

from airouter.dialects.openai_stream import error_event
from airouter.errors import ClientGone, RouterError, UpstreamStatus
from airouter.exchange.exchange import Exchange, Keepalive
from airouter.execution.headers import STREAM_HEADERS
from airouter.execution.refusal import openai_shaped
from airouter.execution.work import Flow, Head
from airouter.types import immutable

# One newline: a comment that ends an event of its own confuses clients whose chunks carry an id.
COMMENT = b": waiting\n"


@immutable
class Answer:
    """Status, headers, and the body: whole, or its pieces as they come."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterator[bytes]

    def response(self) -> Response:
        """The same for Flask."""
        return Response(self.body, self.status, self.headers, direct_passthrough=True)


def respond(exchange: Exchange, flow: Flow) -> Answer:
    """Run the flow to its first item.

    Raises:
        RouterError: the flow failed before anything was committed.
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
    """A stream that was opened before its answer was there."""
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
