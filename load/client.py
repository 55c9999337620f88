"""A client for one user at a time that reads streams as they come: first content, pace, silences, and whether it was whole."""

import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson

from bench.client import CHAT, Endpoint

EMBEDDINGS = "/v1/embeddings"
_CONTENT = re.compile(rb'"(content|reasoning_content|reasoning)":\s*"((?:[^"\\]|\\.)+)"')
_ERROR = re.compile(rb'data:\s*\{\s*"error"')
_KEPT_OF_BODY = 65_536


@dataclass(slots=True)
class Answer:
    """Times in seconds since the request was sent. `problem` is empty when the answer is whole."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    first: float | None = None
    last: float = 0.0
    gap: float = 0.0
    tokens: int = 0
    problem: str = ""
    aborted: bool = False
    late: bool = False
    pieces: list[bytes] = field(default_factory=list, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def rate(self) -> float | None:
        """Tokens per second once the first has come; one piece of content is one token, as servers send them."""
        over = self.last - (self.first or 0.0)
        return (self.tokens - 1) / over if self.tokens > 2 and over > 0 else None

    @property
    def text(self) -> str:
        try:
            return str(orjson.loads(b'"' + b"".join(self.pieces) + b'"'))
        except orjson.JSONDecodeError:
            return ""


class Client:
    """One kept-alive connection. Never raises for what the server or the network does: see `Answer.problem`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._sock: socket.socket | None = None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def ask(
        self,
        body: dict[str, Any],
        *,
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
        limit: float = 120.0,
        abort_after: int | None = None,
        pause: float = 0.0,
    ) -> Answer:
        """One request.

        Args:
            limit: seconds for all of it; then the client hangs up (`late`).
            abort_after: hang up after so many pieces of content.
            pause: a slow reader: seconds between two small reads.
        """
        head, _, rest = self._endpoint.wire(path, body).partition(b"\r\n")
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()).encode()
        wire = head + b"\r\n" + extra + rest
        reused = self._sock is not None
        reading = _Reading(time.perf_counter(), abort_after)
        self._exchange(wire, reading, limit, pause)
        if (
            reused and reading.broken and not reading.began
        ):  # the server had closed it while it was idle
            reading = _Reading(time.perf_counter(), abort_after)
            self._exchange(wire, reading, limit, pause)
        answer = reading.finished(bool(body.get("stream")))
        if answer.problem or answer.aborted or answer.late or not reading.keep:
            self.close()
        return answer

    def _exchange(self, wire: bytes, reading: "_Reading", limit: float, pause: float) -> None:
        try:
            sock = self._sock or self._connect(limit)
            sock.sendall(wire)
            while not reading.complete and not reading.answer.aborted:
                left = limit - (time.perf_counter() - reading.start)
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                data = sock.recv(256 if pause else 65_536)
                if not data:
                    raise ConnectionResetError("closed before the answer was whole")
                reading.feed(data)
                if pause:
                    time.sleep(pause)
        except TimeoutError:
            reading.answer.late = True
        except OSError as error:
            reading.broken = f"{type(error).__name__}: {error}"
        except httptools.HttpParserError as error:
            reading.broken = f"not HTTP: {error}"
        if reading.broken:
            self.close()

    def _connect(self, limit: float) -> socket.socket:
        sock = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._endpoint.tls:
            sock = ssl.create_default_context().wrap_socket(
                sock, server_hostname=self._endpoint.host
            )
        self._sock = sock
        return sock


class _Reading:
    """An answer while it comes; httptools calls the methods that start with `on_`."""

    def __init__(self, start: float, abort_after: int | None) -> None:
        self.answer = Answer()
        self.start = start
        self.complete = self.keep = self.began = False
        self.broken = ""
        self._abort_after = abort_after
        self._streamed = self._done = self._error = False
        self._rest = b""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self.began = True
        self._parser.feed_data(data)

    def finished(self, streaming: bool) -> Answer:
        answer = self.answer
        answer.seconds = time.perf_counter() - self.start
        if self.began:
            answer.status = self._parser.get_status_code()
        if answer.late or answer.aborted:
            return answer
        if self.broken:
            answer.problem = self.broken
        elif answer.status != 200:
            answer.problem = (
                f"status {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}"
            )
        elif self._error:
            answer.problem = (
                f"an error within the stream: {self._rest[:200].decode('utf-8', 'replace')}"
            )
        elif streaming and not (self._streamed and self._done):
            answer.problem = "the stream ended without [DONE]"
        elif (
            not streaming and b'"choices"' not in answer.body and b'"embedding"' not in answer.body
        ):
            answer.problem = "neither choices nor vectors in the answer"
        return answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._streamed = "event-stream" in self.answer.headers.get("content-type", "")

    def on_body(self, data: bytes) -> None:
        if not self._streamed:
            if len(self.answer.body) < _KEPT_OF_BODY:
                self.answer.body += data
            return
        head, cut, self._rest = (self._rest + data).replace(b"\r\n", b"\n").rpartition(b"\n\n")
        if cut:
            self._events(head)

    def _events(self, block: bytes) -> None:
        answer = self.answer
        found = _CONTENT.findall(block)
        if found:
            now = time.perf_counter() - self.start
            if answer.first is None:
                answer.first = now
            else:
                answer.gap = max(answer.gap, now - answer.last)
            answer.last = now
            answer.tokens += len(found)
            answer.pieces += [text for name, text in found if name == b"content"]
            answer.aborted = self._abort_after is not None and answer.tokens >= self._abort_after
        if b"data: [DONE]" in block:
            self._done = True
        elif _ERROR.search(block):
            self._error = True
            self._rest = block[-200:]

    def on_message_complete(self) -> None:
        self.complete = True
        self.keep = self._parser.should_keep_alive()
