"""Features of a conversation, exchanges and flows, for the tests of this folder."""

import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.clock import Clock
from airouter.domain.types import Decision, Features, Verdict
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange

T = TypeVar("T")


def features(*messages: str | tuple[str, str], **request: Any) -> Features:
    """Features of these messages: strings are user turns, pairs are (role, text)."""
    turns = [("user", message) if isinstance(message, str) else message for message in messages]
    return features_of(
        parse_request(
            "chat",
            {"messages": [{"role": role, "content": text} for role, text in turns], **request},
        )
    )


def decision(
    label: str = "MODERATE", tier: str = "reasoning", finish: str = "stop", forced: bool = False
) -> Decision:
    """What a tier has decided."""
    return Decision(
        label, tier, 0.9, None, 900.0, (Verdict(tier, label, finish_reason=finish),), forced
    )


@contextmanager
def exchange(client: socket.socket | None = None) -> Iterator[Exchange]:
    """A client request, closed at the end. It ends early when the other side of `client` closes."""
    made = Exchange(Clock(), client=client, client_ip="", total=20)
    try:
        yield made
    finally:
        made.close()


def finish(exchange: Exchange, flow: Generator[Any, None, T]) -> T:
    """Run a flow to its end; what it returns."""
    return complete(exchange, flow)


def waiting(exchange: Exchange, seconds: float = 0.01) -> Generator[Any, None, None]:
    """A flow that waits, like one that asks a backend: it ends early when the client leaves."""
    return exchange.wait(until=exchange.clock.monotonic() + seconds)
