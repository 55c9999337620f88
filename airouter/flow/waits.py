"""What a flow yields instead of blocking. A driver carries the waits out (`driver.py`)."""

import socket
from collections.abc import Generator
from typing import TypeVar

from airouter.domain.types import immutable

T = TypeVar("T")
INFINITY = float("inf")


@immutable
class Wait:
    """Nothing can be done until a call of the exchange makes progress, its client leaves, `wake`
    becomes readable, or the monotonic time `until` has come."""

    until: float = INFINITY
    wake: socket.socket | None = None


class Keepalive:
    """Yielded when the client has received nothing for a while."""


KEEPALIVE = Keepalive()
Waiting = Generator[Wait | Keepalive, None, T]
