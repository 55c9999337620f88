"""Requests at a fixed rate, whether or not earlier ones have been answered: what overload is. One thread, kept-alive connections."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.client import Endpoint

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after:\s*(\d+)", re.IGNORECASE)
_LOOK_S = 0.25


@dataclass(slots=True)
class Reply:
    """`due`: when it was to be sent, in seconds from the start; `seconds`: from then to its answer's last byte, so that a
    client that falls behind does not hide it. Status 0: no answer (`problem` says why)."""

    due: float
    seconds: float = 0.0
    status: int = 0
    retry_after: int | None = None
    problem: str = ""


class _Connection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's transports are no asyncio.Transport

    def send(self, wire: bytes) -> "asyncio.Future[bytes]":
        self._buffer = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(wire)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None or self._answer.done():
            return
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if length is None or len(self._buffer) >= end + 4 + int(length[1]):
            if b"\r\nconnection: close" in self._buffer[: end + 2].lower() or length is None:
                self.close()
            self._answer.set_result(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed without an answer"))

    def close(self) -> None:
        self.open = False
        self._transport.close()


def offer(
    endpoint: Endpoint,
    wire: bytes,
    rate: float,
    seconds: float,
    *,
    limit: float,
    progress: Callable[[float], None] | None = None,
) -> list[Reply]:
    """Offer `rate` requests a second for so many seconds, evenly spaced; wait for the last answers, each at most `limit` seconds.

    Args:
        progress: called now and then with the fraction of the time that is over.
    """
    return uvloop.run(_offer(endpoint, wire, rate, seconds, limit, progress))


async def _offer(
    endpoint: Endpoint,
    wire: bytes,
    rate: float,
    seconds: float,
    limit: float,
    progress: Callable[[float], None] | None,
) -> list[Reply]:
    loop = asyncio.get_running_loop()
    idle: list[_Connection] = []
    replies: list[Reply] = []
    under_way: set[asyncio.Task[None]] = set()
    start = time.perf_counter()

    async def one(reply: Reply) -> None:
        try:
            async with asyncio.timeout(limit):
                answer = await _exchange(loop, endpoint, wire, idle)
        except TimeoutError:
            reply.problem = f"no answer within {limit:g} s"
        except OSError as error:
            reply.problem = f"{type(error).__name__}: {error}"
        else:
            reply.status = int(answer[9:12])
            head = answer[: answer.find(b"\r\n\r\n") + 2]
            found = _RETRY_AFTER.search(head)
            reply.retry_after = int(found[1]) if found else None
        reply.seconds = time.perf_counter() - start - reply.due

    looked = 0.0
    for i in range(max(1, round(rate * seconds))):
        due = i / rate
        while (wait := due - (time.perf_counter() - start)) > 0:
            await asyncio.sleep(wait)
        reply = Reply(due)
        replies.append(reply)
        task = asyncio.ensure_future(one(reply))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        if progress is not None and due - looked > _LOOK_S:
            looked = due
            progress(due / seconds)
    if under_way:
        await asyncio.wait(under_way)
    for connection in idle:
        connection.close()
    return replies


async def _exchange(
    loop: asyncio.AbstractEventLoop, endpoint: Endpoint, wire: bytes, idle: list[_Connection]
) -> bytes:
    connection: _Connection | None = None
    while idle and connection is None:
        candidate = idle.pop()
        connection = candidate if candidate.open else None
    if connection is not None:
        with contextlib.suppress(
            ConnectionError
        ):  # the server had closed it while it was idle: once more, on a new one
            answer = await _carry(connection, wire)
            if connection.open:
                idle.append(connection)
            return answer
    _transport, connection = await loop.create_connection(_Connection, endpoint.host, endpoint.port)
    answer = await _carry(connection, wire)
    if connection.open:
        idle.append(connection)
    return answer


async def _carry(connection: _Connection, wire: bytes) -> bytes:
    try:
        return await connection.send(wire)
    except asyncio.CancelledError:
        connection.close()  # half an answer may be on it
        raise
