"""Bytes on the connection: complete, chunked and broken responses.

Responses are written directly to the transport, because a web framework's response object
guarantees well-formed HTTP, while many faults are malformed on purpose.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_LINGER_ZERO = struct.pack("ii", 1, 0)
_LAST_CHUNK = b"0\r\n\r\n"


class Sent(web.StreamResponse):
    """Tells the server that the response has already been written."""

    def __init__(self, keep_alive: bool = True) -> None:
        super().__init__()
        self._reusable = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._reusable

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Wire:
    """One response on one connection."""

    __slots__ = ("_dribble", "_protocol", "headers_sent", "keep_alive", "transport")

    def __init__(self, transport: asyncio.Transport, protocol: Any, keep_alive: bool) -> None:
        self.transport = transport
        self._protocol = protocol
        self.keep_alive = keep_alive
        self.headers_sent = False
        self._dribble = False

    def dribble(self) -> None:
        self._dribble = True

    def head(
        self,
        status: int,
        content_type: str,
        length: int | None,
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        reason = _REASONS.get(status, "Unknown")
        lines = f"HTTP/1.1 {status} {reason}\r\nServer: uvicorn\r\n{framing}\r\n"
        if content_type:
            lines += f"Content-Type: {content_type}\r\n"
        if extra:
            lines += "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        if not self.keep_alive:
            lines += "Connection: close\r\n"
        return (lines + "\r\n").encode("latin-1")

    async def send(self, head: bytes, body: bytes) -> None:
        """A head and a body of known length."""
        if self._dribble:
            self.transport.write(head)
            self.headers_sent = True
            await self._in_small_pieces(body, chunked=False)
            return
        self.transport.write(head + body)
        self.headers_sent = True

    async def send_chunks(self, head: bytes, pieces: list[bytes], last: bool) -> None:
        """Each piece as one HTTP chunk, all in one write; `last` adds the final chunk."""
        if self._dribble:
            self.transport.write(head)
            self.headers_sent = self.headers_sent or bool(head)
            await self._in_small_pieces(b"".join(pieces), chunked=True)
            if last:
                self.transport.write(_LAST_CHUNK)
            return
        parts = [head]
        for piece in pieces:
            parts += (b"%x\r\n" % len(piece), piece, b"\r\n")
        if last:
            parts.append(_LAST_CHUNK)
        self.transport.write(b"".join(parts))
        self.headers_sent = True
        if self._protocol.write_paused:
            await self._protocol.wait_writable()

    async def _in_small_pieces(self, data: bytes, chunked: bool) -> None:
        """One to three bytes a write: neither events nor UTF-8 sequences stay whole."""
        start = size = 0
        while start < len(data):
            size = size % 3 + 1
            piece = data[start : start + size]
            start += size
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await asyncio.sleep(0)

    def reset(self) -> None:
        reset_connection(self.transport)


def reset_connection(transport: asyncio.BaseTransport) -> None:
    """Close with a TCP reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with socket.socket(fileno=os.dup(sock.fileno())) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    if isinstance(transport, asyncio.Transport) or hasattr(transport, "abort"):
        transport.abort()
