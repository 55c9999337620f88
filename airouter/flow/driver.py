"""Carries out the waits of an exchange's flows in the thread that serves it.

A flow is a generator: it computes, and yields a `Wait` when it has to wait. So one thread can
advance several calls side by side, and the same flow runs under any driver: this one, or one of
the tests' that needs neither sockets nor time.
"""

from collections.abc import Generator
from typing import TypeVar

from airouter.domain.errors import ClientGone
from airouter.flow.exchange import Exchange
from airouter.flow.poller import Poller
from airouter.flow.waits import Keepalive, Wait

Item = TypeVar("Item")
Result = TypeVar("Result")


def drive(
    exchange: Exchange, flow: Generator[Wait | Item, None, Result]
) -> Generator[Item, None, Result]:
    """The flow without its waits: each is carried out when the flow yields it.

    A client that leaves is thrown into the flow as `ClientGone`, so that it ends there.
    """
    poller = Poller(exchange.clock, exchange.client)
    try:
        item = next(flow)
        while True:
            if type(item) is Wait:
                try:
                    poller.wait(exchange.calls, item.until, item.wake)
                except ClientGone as gone:
                    item = flow.throw(gone)
                else:
                    item = next(flow)
            else:
                yield item  # type: ignore[misc]  # it is no Wait
                item = next(flow)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        flow.close()


def complete(exchange: Exchange, flow: Generator[Wait | Keepalive, None, Result]) -> Result:
    """Run a flow that sends nothing to its end, and return its result."""
    driven = drive(exchange, flow)
    while True:
        try:
            next(driven)  # a keepalive that nobody is to hear
        except StopIteration as end:
            result: Result = end.value
            return result
