"""Many streams at once from one thread: notes when bytes came, and takes them apart only when all is over."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop

from bench.client import Endpoint

# A chunk of the answer: content that is not empty. The role chunk before it is none.
_CHUNK = re.compile(rb'"content":\s*"(?!")')
_DONE = b"data: [DONE]"
_END = b"0\r\n\r\n"


@dataclass(slots=True)
class Stream:
    """One stream as received: `arrivals` holds the time of each chunk, in seconds since its request was sent."""

    arrivals: list[float] = field(default_factory=list)
    status: int = 0
    done: bool = False
    error: str = ""

    def complete(self, chunks: int) -> bool:
        return self.done and self.status == 200 and len(self.arrivals) == chunks

    def gaps(self) -> list[float]:
        return [
            later - earlier
            for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)
        ]

    def lateness(self, interval: float) -> list[float]:
        """How much later than a steady beat each chunk came; the beat is set by the stream's most punctual chunk."""
        offsets = [at - i * interval for i, at in enumerate(self.arrivals)]
        return [offset - min(offsets) for offset in offsets]


class _Receiver(asyncio.Protocol):
    def __init__(self, wire: bytes, finished: "asyncio.Future[None]") -> None:
        self._wire = wire
        self._finished = finished
        self._tail = b""
        self.sent = 0.0
        self.pieces: list[tuple[float, bytes]] = []
        self.lost = ""
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.sent = time.perf_counter()
        self._transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))
        self._tail = (self._tail + data[-5:])[-5:]
        if self._tail == _END:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = type(exc).__name__ if exc else ""
        self._end()

    def _end(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)
            self._transport.close()


def receive(
    endpoint: Endpoint, wire: bytes, count: int, limit: float, stagger: float = 0.0
) -> list[Stream]:
    """Open `count` streams, `stagger` seconds apart, and wait until all have ended, at most `limit` seconds."""
    return uvloop.run(_receive(endpoint, wire, count, limit, stagger))


async def _receive(
    endpoint: Endpoint, wire: bytes, count: int, limit: float, stagger: float
) -> list[Stream]:
    loop = asyncio.get_running_loop()
    receivers: list[_Receiver | str] = []
    endings = []

    async def open_one() -> None:
        finished: asyncio.Future[None] = loop.create_future()
        try:
            _transport, receiver = await loop.create_connection(
                lambda: _Receiver(wire, finished),
                endpoint.host,
                endpoint.port,
                ssl=True if endpoint.tls else None,
            )
        except OSError as error:
            receivers.append(f"{type(error).__name__}: {error}")
            return
        receivers.append(receiver)
        endings.append(finished)

    openings = []
    for _ in range(count):
        openings.append(asyncio.ensure_future(open_one()))
        if stagger:
            await asyncio.sleep(stagger)
    await asyncio.gather(*openings)
    if endings:
        await asyncio.wait(endings, timeout=limit)
    return [
        Stream(error=receiver) if isinstance(receiver, str) else _taken_apart(receiver)
        for receiver in receivers
    ]


class _Taker:
    def __init__(self) -> None:
        self.body = bytearray()

    def on_body(self, data: bytes) -> None:
        self.body += data


def _taken_apart(receiver: _Receiver) -> Stream:
    """The chunks and their times; a chunk came when its last byte did."""
    stream, taker = Stream(error=receiver.lost), _Taker()
    parser = httptools.HttpResponseParser(taker)
    start = 0
    try:
        for at, data in receiver.pieces:
            parser.feed_data(data)
            end = taker.body.rfind(b"\n\n", start) + 2
            if end < 2:
                continue
            for event in bytes(taker.body[start:end]).split(b"\n\n"):
                if _CHUNK.search(event):
                    stream.arrivals.append(at - receiver.sent)
                elif event.strip() == _DONE:
                    stream.done = True
            start = end
        if receiver.pieces:
            stream.status = parser.get_status_code()
    except httptools.HttpParserError as error:
        stream.error = f"not HTTP: {error}"
    if not receiver.pieces:
        stream.error = stream.error or "no answer"
    return stream
