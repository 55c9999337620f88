"""How an answer reaches the server that sends it: as a flow, which the server may advance."""

from collections.abc import Generator, Iterator
from typing import Literal, Protocol

from airouter.domain.errors import RouterError
from airouter.flow.driver import drive
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Wait

# In the WSGI environment: the request's body, where the server reads it without a thread.
INCOMING = "airouter.incoming"
Sending = Generator[Wait | bytes, None, None]
# Where a reply is computed: in the loop, or in a thread, because it takes long or blocks; "control"
# has threads of its own, so that operators never wait behind traffic.
Place = Literal["loop", "pool", "control"]


class Incoming(Protocol):
    """A request body that arrives while its flow waits."""

    size: int  # bytes so far
    complete: bool
    problem: RouterError | None  # why the rest will not come
    most: int  # bytes after which no more are read

    def take(self) -> bytes:
        """What has come, once."""
        ...


class Reply:
    """A WSGI body that is a flow: it yields waits and bytes, and calls `start_response` before the
    first bytes. A server that knows nothing of that iterates, and its thread waits.

    Args:
        items: the flow.
        place: where to compute it.
    """

    def __init__(self, exchange: Exchange, items: Sending, place: Place = "loop") -> None:
        self.exchange = exchange
        self.items = items
        self.place: Place = place

    def __iter__(self) -> Iterator[bytes]:
        return drive(self.exchange, self.items)

    def close(self) -> None:
        self.items.close()
