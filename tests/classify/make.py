"""Features of a conversation and exchanges, for the tests of this folder."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.clock import Clock
from airouter.domain.types import Features
from airouter.flow.exchange import Exchange


def features(*messages: str | tuple[str, str], **request: Any) -> Features:
    """Strings are user turns; pairs are (role, text)."""
    turns = [("user", message) if isinstance(message, str) else message for message in messages]
    return features_of(
        parse_request(
            "chat",
            {"messages": [{"role": role, "content": text} for role, text in turns], **request},
        )
    )


@contextmanager
def exchange(client: socket.socket | None = None) -> Iterator[Exchange]:
    """A client request, closed at the end. It ends early when the other side of `client` closes."""
    made = Exchange(Clock(), client=client, client_ip="", total=20)
    try:
        yield made
    finally:
        made.close()
