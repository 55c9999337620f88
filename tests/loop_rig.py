"""A loop with clients over real sockets, advanced step by step by the test itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from airouter.domain.clock import Clock
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Place, Reply, Sending
from airouter.server.clients import Clients
from airouter.server.connection import Limits
from airouter.server.loop import Loop

CLOCK = Clock()
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def an_exchange() -> Exchange:
    return Exchange(CLOCK, client=None, client_ip="", total=60)


def replying(
    flow: Callable[[Exchange, dict[str, Any], Callable[..., Any]], Sending], place: Place = "loop"
) -> App:
    """An application whose every answer is this flow."""

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Reply:
        exchange = an_exchange()
        return Reply(exchange, flow(exchange, environ, start), place)

    return app


def hello(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Length", "2")])
    return [b"hi"]


class Rig:
    """Mutable state: the clients' sockets, and `warned`: what was logged."""

    def __init__(self, app: App = hello, **changes: Any) -> None:
        self.loop = Loop(CLOCK)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.warned: list[str] = []
        options: dict[str, Any] = {
            "limits": Limits(head=5, write=5, idle=5),
            "most": 1000,
            "threads": 4,
            "pressed": lambda: False,
            "share": None,
            "queued": lambda: 0,
            "trusts": lambda _: False,
            "tls": None,
        }
        log = SimpleNamespace(warning=lambda text, *args: self.warned.append(text % args))
        self.clients = Clients(self.loop, app, [self.listener], log=log, **{**options, **changes})
        self.accepted = 0
        connected = self.clients._connected

        def counting(*args: Any) -> None:
            self.accepted += 1
            connected(*args)

        self.clients._connected = counting  # type: ignore[method-assign]
        self.clients.accept(True)
        self.opened: list[socket.socket] = []

    def connect(self, *sent: bytes, accepted: bool = True) -> socket.socket:
        number = self.accepted
        sock = socket.create_connection(self.listener.getsockname(), timeout=10)
        self.opened.append(sock)
        for data in sent:
            sock.sendall(data)
        if accepted:
            self.until(lambda: self.accepted > number)
        return sock

    def step(self, seconds: float = 0.05) -> None:
        """What a worker does, for so long."""
        until = CLOCK.monotonic() + seconds
        while CLOCK.monotonic() < until:
            self.loop.round(wait=False)
            self.clients.serve()
            time.sleep(0.001)

    def until(self, true: Callable[[], Any], seconds: float = 10) -> None:
        until = CLOCK.monotonic() + seconds
        while not true():
            assert CLOCK.monotonic() < until, "it did not come true"
            self.step(0.002)

    def read(self, sock: socket.socket, end: bytes = b"", seconds: float = 10) -> bytes:
        """What the client receives until `end`; b"": until the connection ends."""
        got, over = b"", False
        sock.setblocking(False)
        until = CLOCK.monotonic() + seconds
        while not over and not (end and end in got):
            assert CLOCK.monotonic() < until, f"only {got[-300:]!r}"
            try:
                data = sock.recv(65536)
                got += data
                over = not data
            except BlockingIOError:
                self.step(0.002)
            except ConnectionError:
                over = True
        return got

    def close(self) -> None:
        for sock in self.opened:
            sock.close()
        self.clients.close()
        self.listener.close()
        self.loop.close()
