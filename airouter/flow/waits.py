"""What a flow yields instead of blocking. A driver carries the waits out (`driver.py`)."""

import socket
from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")
INFINITY = float("inf")


class Wait(NamedTuple):  # the cheapest to make: one for each chunk of a stream
    """Nothing can be done until a call of the exchange makes progress, its client leaves, `wake`
    becomes readable, or the monotonic time `until` has come.

    After progress of a call a driver may ask `relay` for bytes, and send them, as long as it has
    some: the flow need not see what is only passed on.
    """

    until: float = INFINITY
    wake: socket.socket | None = None
    relay: Callable[[], bytes] | None = None


class Call(Protocol):
    """A call to a backend, as far as waiting for it goes."""

    @property
    def finished(self) -> bool: ...

    @property
    def events(self) -> int:
        """The poll() events to wait for; 0: none, only `expires`."""
        ...

    @property
    def expires(self) -> float:
        """The monotonic time at which `expire()` is due."""
        ...

    def fileno(self) -> int: ...

    @property
    def channel(self) -> object:
        """What `fileno()` belongs to: a new object for each connection, although numbers recur."""
        ...

    def advance(self) -> None:
        """Do what can be done without blocking. Never raises."""
        ...

    def expire(self, now: float) -> None: ...


class Keepalive:
    """Yielded when the client has received nothing for a while."""


KEEPALIVE = Keepalive()
Waiting = Generator[Wait | Keepalive, None, T]
