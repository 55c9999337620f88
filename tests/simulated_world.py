"""A driver for flows without sockets, threads or real time: backends are scripts, and the clock
jumps to whatever happens next."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import orjson
from doubles import FakeClock

from airouter.flow.exchange import Exchange
from airouter.flow.waits import Wait
from airouter.upstream.transport.call import Call
from airouter.upstream.transport.pool import Origin

Item = TypeVar("Item")
# What a backend does with a request: (seconds after it, bytes), in order; None: it closes the
# connection.
Script = list[tuple[float, bytes | None]]


class World:
    """Mutable state: the open connections, and `log`: (seconds, backend, "asked" or "closed")."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.begin = self.clock.monotonic()
        self.scripts: dict[str, Callable[[str, dict[str, Any]], Script]] = {}
        self.log: list[tuple[float, str, str]] = []
        self.client_leaves = float("inf")  # seconds from the beginning
        self._connections: list[_Connection] = []

    @property
    def now(self) -> float:
        return round(self.clock.monotonic() - self.begin, 6)

    def connect(self, origin: Origin, *arguments: Any) -> Call:
        """Instead of `Call`: the same state machine on a scripted connection."""
        name = arguments[3]
        return Call(_Wire(self, name, origin.url), *arguments)

    def run(self, exchange: Exchange, flow: Generator[Wait | Item, None, None]) -> list[Item]:
        """What the flow yields but its waits. Each wait is carried out by moving the clock."""
        items: list[Item] = []
        try:
            item = next(flow)
            while True:
                if not isinstance(item, Wait):
                    items.append(item)
                    item = next(flow)
                else:
                    if not self._wait(exchange, item):
                        exchange.leave()
                    item = next(flow)
        except StopIteration:
            return items

    def _wait(self, exchange: Exchange, wait: Wait) -> bool:
        """Whether the client is still there."""
        calls = [call for call in exchange.calls if not call.finished]
        arrivals = [c.inbox[0][0] for c in self._connections if c.inbox]
        leaves = self.begin + self.client_leaves
        at = min([wait.until, leaves, *(call.expires for call in calls), *arrivals])
        assert at < float("inf"), "nothing would ever end this wait"
        self.clock.move(max(0.0, at - self.clock.monotonic()))
        if self.clock.monotonic() >= leaves:
            return False
        for call in calls:
            call.advance()
        for call in calls:
            call.expire(self.clock.monotonic())
        return True

    def opened(self, connection: _Connection) -> None:
        self._connections.append(connection)

    def closed(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self.log.append((self.now, connection.name, "closed"))


class _Wire(Origin):
    """Every request gets a connection of its own."""

    def __init__(self, world: World, name: str, url: str) -> None:
        super().__init__(url, world.clock)
        self._world, self._name = world, name

    def take(self) -> Any:
        return _Connection(self._world, self._name)

    def give(self, sock: Any) -> None:
        sock.close()


class _Connection:
    """As much of a socket as a call uses."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.inbox: Script = []
        self._world = world
        world.opened(self)

    def fileno(self) -> int:
        return -1

    def send(self, data: bytes) -> int:
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        self._world.log.append((self._world.now, self.name, "asked"))
        now = self._world.clock.monotonic()
        script = self._world.scripts[self.name](path, orjson.loads(body or b"{}"))
        self.inbox = [(now + after, what) for after, what in script]
        return len(data)

    def recv(self, _most: int) -> bytes:
        if not self.inbox or self.inbox[0][0] > self._world.clock.monotonic():
            raise BlockingIOError
        what = self.inbox[0][1]
        if what is None:
            return b""
        del self.inbox[0]
        return what

    def shutdown(self, _how: int) -> None: ...

    def close(self) -> None:
        self._world.closed(self)


def whole(payload: dict[str, Any], *, after: float = 0.0, status: int = 200) -> Script:
    """A whole JSON answer, so many seconds after the request."""
    body = orjson.dumps(payload)
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return [(after, head + body)]


def stream(*pieces: str, first: float = 0.0, gap: float = 0.0, ends: bool = True) -> Script:
    """A streamed chat completion.

    Args:
        first: seconds to the first piece; `gap`: between pieces; `ends`: with a reason and [DONE].
    """

    def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return b"data: " + orjson.dumps({"id": "c", "choices": [choice]}) + b"\n\n"

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    script: Script = [(0.0, head)]
    at = first
    for piece in pieces:
        script.append((at, event({"content": piece})))
        at += gap
    if ends:
        script.append((at, event({}, "stop") + b"data: [DONE]\n\n"))
        script.append((at, None))
    return script
