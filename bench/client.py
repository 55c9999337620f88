"""A blocking HTTP client that costs next to nothing: one kept-alive socket, prepared bytes out, httptools in."""

import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson

CHAT = "/v1/chat/completions"
# The first character of an answer's text, or of its reasoning.
CONTENT = re.compile(rb'"(?:content|reasoning_content|reasoning|text)":\s*"[^"]')
_KEPT_FOR_MATCH = 64  # bytes of the last piece, in case a chunk's edge cuts the mark in two


class Failure(Exception):
    """A request that gave no sample: refused, broken, or an answer with another status than 200."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send requests. `api_key` is never shown; `headers` go with each request."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, api_key: str | None = None) -> "Endpoint":
        """From a base URL; a trailing /v1 is accepted.

        Raises:
            ValueError: it is not an http(s) URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        tls = parts.scheme == "https"
        return cls(
            parts.hostname,
            parts.port or (443 if tls else 80),
            tls,
            parts.path.rstrip("/").removesuffix("/v1"),
            api_key,
        )

    def below(self, prefix: str) -> "Endpoint":
        """The same server, under a path: the router's pass-throughs."""
        return Endpoint(
            self.host, self.port, self.tls, self.prefix + prefix, self.api_key, self.headers
        )

    def wire(self, path: str, body: dict[str, Any] | None, *, close: bool = False) -> bytes:
        """A request as bytes; GET without a body."""
        payload = b"" if body is None else orjson.dumps(body)
        lines = [
            f"{'GET' if body is None else 'POST'} {self.prefix}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
        ]
        if self.api_key:
            lines.append(f"Authorization: Bearer {self.api_key}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        if close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode() + payload


@dataclass(slots=True)
class Reply:
    """A whole answer. Times are seconds since the request was sent; `first_content` is for streams."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    first_content: float | None = None

    def json(self) -> Any:
        return orjson.loads(self.body)


class Connection:
    """One kept-alive connection for one thread. A connection that the server closed while idle is opened anew, once."""

    def __init__(self, endpoint: Endpoint, timeout: float = 120.0) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._sock: socket.socket | None = None
        self._started = False  # bytes of an answer have come
        self._begin()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def chat(self, body: dict[str, Any]) -> Reply:
        """POST /v1/chat/completions; anything but 200 is a Failure."""
        return self.checked(self.endpoint.wire(CHAT, body))

    def get(self, path: str) -> Reply:
        return self.send(self.endpoint.wire(path, None))

    def checked(self, wire: bytes) -> Reply:
        """As `send`, but anything other than 200 is a Failure."""
        reply = self.send(wire)
        if reply.status != 200:
            raise Failure(f"status {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}")
        return reply

    def send(self, wire: bytes) -> Reply:
        """Send prepared bytes and read the whole answer.

        Raises:
            Failure: it did not come, or not in time.
        """
        fresh = self._sock is None
        try:
            return self._send(wire)
        except OSError as error:
            started = self._started
            self.close()
            if fresh or started or isinstance(error, TimeoutError):
                raise Failure(f"{type(error).__name__}: {error}") from None
        except httptools.HttpParserError as error:
            self.close()
            raise Failure(f"not HTTP: {error}") from None
        except KeyboardInterrupt:
            self.close()  # half an answer is on it
            raise
        try:
            return self._send(wire)
        except OSError as error:
            self.close()
            raise Failure(f"{type(error).__name__}: {error}") from None

    def _send(self, wire: bytes) -> Reply:
        self._begin()
        sock = self._sock or self._connect()
        parser = self._parser = httptools.HttpResponseParser(self)
        pieces, headers = self._pieces, self._headers
        start = time.perf_counter()
        sock.sendall(wire)
        first: float | None = None
        searched, tail = 0, b""
        streaming: bool | None = None
        while not self._done:
            data = sock.recv(262_144)
            if not data:
                if self._started and not self._framed():
                    break
                raise ConnectionResetError("closed before the answer was whole")
            self._started = True
            parser.feed_data(data)
            if streaming is None and headers:
                streaming = any(
                    name.lower() == b"content-type" and b"event-stream" in value
                    for name, value in headers
                )
            if streaming and first is None and len(pieces) > searched:
                fresh = tail + b"".join(pieces[searched:])
                searched = len(pieces)
                if CONTENT.search(fresh):
                    first = time.perf_counter() - start
                tail = fresh[-_KEPT_FOR_MATCH:]
        seconds = time.perf_counter() - start
        if not self._keep:
            self.close()
        named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        return Reply(parser.get_status_code(), named, b"".join(pieces), seconds, first)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(
            (self.endpoint.host, self.endpoint.port), timeout=self._timeout
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.endpoint.tls:
            sock = ssl.create_default_context().wrap_socket(
                sock, server_hostname=self.endpoint.host
            )
        self._sock = sock
        return sock

    def _framed(self) -> bool:
        return any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers
        )

    def _begin(self) -> None:
        self._pieces: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._done = self._started = self._keep = False

    # httptools calls these -------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._done = True
        self._keep = self._parser.should_keep_alive()  # it knows now, and no longer afterwards
