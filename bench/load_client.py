"""Requests as fast as they are answered, on a fixed number of kept-alive connections, from one thread."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.client import Endpoint

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Load:
    """What came of it: seconds per answered request, and what failed. Requests still under way at the end count as neither."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    first_failure: str = ""
    seconds: float = 0.0


class _User(asyncio.Protocol):
    """One connection: sends a request, waits for the whole answer, sends the next."""

    def __init__(self, wire: bytes, load: Load) -> None:
        self._wire, self._load = wire, load
        self._buffer = b""
        self._needed = 0
        self._sent = 0.0
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        self._buffer, self._needed = b"", 0
        self._sent = time.perf_counter()
        self._transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(buffer, 0, end)
            if length is None:
                self._fail("an answer without Content-Length")
                self._transport.close()
                return
            self._needed = end + 4 + int(length[1])
        if len(buffer) < self._needed:
            return
        if buffer.startswith(b"HTTP/1.1 200"):
            self._load.latencies.append(time.perf_counter() - self._sent)
        else:
            self._fail(buffer[:200].decode("latin-1"))
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, what: str) -> None:
        self._load.failures += 1
        self._load.first_failure = self._load.first_failure or what


def drive(endpoint: Endpoint, wire: bytes, users: int, seconds: float, warm_up: float) -> Load:
    """Load for `warm_up` seconds that do not count, then for `seconds` that do."""
    return uvloop.run(_drive(endpoint, wire, users, seconds, warm_up))


async def _drive(
    endpoint: Endpoint, wire: bytes, users: int, seconds: float, warm_up: float
) -> Load:
    loop = asyncio.get_running_loop()
    load = Load()
    crowd: list[_User] = []

    async def keep(position: int) -> None:
        # A connection that the server closes (gunicorn may, under load) is opened again, as any client would.
        while True:
            try:
                _transport, user = await loop.create_connection(
                    lambda: _User(wire, load),
                    endpoint.host,
                    endpoint.port,
                    ssl=True if endpoint.tls else None,
                )
            except OSError as error:
                load.failures += 1
                load.first_failure = load.first_failure or str(error)
                await asyncio.sleep(0.1)
                continue
            crowd[position] = user
            await user.closed

    crowd = [None] * users  # type: ignore[list-item]
    keepers = [asyncio.ensure_future(keep(i)) for i in range(users)]
    await asyncio.sleep(warm_up)
    load.latencies.clear()
    load.failures, load.first_failure = 0, ""
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    load.seconds = time.perf_counter() - begun
    measured = Load(list(load.latencies), load.failures, load.first_failure, load.seconds)
    for keeper in keepers:
        keeper.cancel()
    for user in crowd:
        if user is not None:
            user.stop()
    await asyncio.gather(*keepers, return_exceptions=True)
    return measured
