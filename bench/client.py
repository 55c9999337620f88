"""The HTTP client of everything that measures: prepared bytes out, httptools in, and a note of when
each piece came.

Blocking here, in one thread; `bench.crowd` has many connections at a time and reads answers by the
same `Reading`.
"""

import re
import socket
import ssl
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson

from bench.stats import gaps

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
# The first character of a piece of an answer's text, or of its reasoning.
CONTENT = re.compile(rb'"(?:content|reasoning_content|reasoning|text|delta)":\s*"[^"]')
_USAGE = re.compile(rb'"completion_tokens":\s*(\d+)')


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
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, prefix, api_key)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}{self.prefix}"

    def below(self, prefix: str) -> "Endpoint":
        """The same server, under a path: the router's pass-throughs."""
        return replace(self, prefix=self.prefix + prefix)

    def wire(
        self,
        path: str,
        body: dict[str, Any] | None,
        *,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> bytes:
        """A request as bytes; GET without a body."""
        payload = b"" if body is None else orjson.dumps(body)
        sent = {"Host": f"{self.host}:{self.port}", **dict(self.headers), **(headers or {})}
        if self.api_key:
            sent["Authorization"] = f"Bearer {self.api_key}"
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        if close:
            sent["Connection"] = "close"
        first = f"{'GET' if body is None else 'POST'} {self.prefix}{path} HTTP/1.1"
        lines = [first, *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        return "\r\n".join(lines).encode() + payload

    def chat(self, body: dict[str, Any], **options: Any) -> bytes:
        return self.wire(CHAT, body, **options)


@dataclass(slots=True)
class Answer:
    """What came back. Times are seconds since the request was sent.

    Args:
        whole: the HTTP message has its end.
        late: the limit ran out; `problem` says so, too.
        aborted: the client hung up as it was told to.
        arrivals, sizes: when each piece of the body came, and its bytes.
        problem: why there is no whole answer; empty when there is one.
        due: in an open loop, when the request was to be sent; `seconds` count from then.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    whole: bool = False
    late: bool = False
    aborted: bool = False
    arrivals: list[float] = field(default_factory=list, repr=False)
    sizes: list[int] = field(default_factory=list, repr=False)
    problem: str = ""
    due: float = 0.0

    def json(self) -> Any:
        """The JSON of a whole answer; the bytes if they are none."""
        return _parsed(self.body)

    @property
    def streamed(self) -> bool:
        return "event-stream" in self.headers.get("content-type", "")

    def events(self) -> list[Any]:
        """The events of a stream, "[DONE]" as that string, what is not JSON as bytes."""
        lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
        payloads = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return ["[DONE]" if payload == b"[DONE]" else _parsed(payload) for payload in payloads]

    @property
    def done(self) -> bool:
        """Whether a stream said that it is over."""
        return b"data: [DONE]" in self.body

    @property
    def text(self) -> str:
        """The answer's text, streamed or not."""
        found = self.events() if self.streamed else [self.json()]
        choices = [
            choice
            for event in found
            if isinstance(event, dict)
            for choice in event.get("choices") or []
            if isinstance(choice, dict)
        ]
        parts = [choice.get("delta") or choice.get("message") or {} for choice in choices]
        return "".join(part.get("content") or "" for part in parts)

    # Its pace -------------------------------------------------------------------------------------

    @property
    def chunks(self) -> list[float]:
        """When each piece of a stream's content came; one is one token, as servers send them."""
        ends = list(accumulate(self.sizes))
        matches = CONTENT.finditer(self.body) if self.streamed else ()
        return [self.arrivals[bisect_left(ends, match.end())] for match in matches]

    @property
    def first_content(self) -> float | None:
        """Seconds until there was text to read: all of it in a whole answer; None when none
        came."""
        if not self.streamed:
            return self.seconds if self.text else None
        return next(iter(self.chunks), None)

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens of a stream per second, from its first to its last; None of a few."""
        times, told = self.chunks, _USAGE.findall(self.body)
        tokens = int(told[-1]) if told else len(times)
        over = times[-1] - times[0] if times else 0.0
        return (tokens - 1) / over if tokens > 2 and over > 0 else None

    @property
    def gap(self) -> float:
        """The longest silence within the body."""
        return max(gaps(self.arrivals), default=0.0)

    def complete(self, chunks: int) -> bool:
        """Whether a stream is whole, with so many pieces of content."""
        return self.done and self.status == 200 and len(self.chunks) == chunks

    def said(self) -> str:
        """Why it is not complete, for a note."""
        done = "with" if self.done else "without"
        what = self.problem or f"{len(self.chunks)} chunks, {done} [DONE]"
        return f"status {self.status}, {what}"


def _parsed(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload


class Reading:
    """An answer while it comes; httptools calls the methods that begin with `on_`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.start = clock()
        self.began = self.whole = self.keep = False
        self.seconds: float | None = None  # of a whole one
        self.pieces: list[bytes] = []
        self._arrivals: list[float] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Bytes from the socket; none: the server has closed it.

        Raises:
            OSError, httptools.HttpParserError: that was no whole answer.
        """
        if data:
            self.began = True
            self._parser.feed_data(data)
            return
        framing = (b"content-length", b"transfer-encoding")
        framed = any(name.lower() in framing for name, _ in self._headers)
        if framed or not self._headers:
            raise ConnectionResetError("closed before the answer was whole")
        self.whole = True

    @property
    def status(self) -> int:
        return self._parser.get_status_code() if self._headers else 0

    def answer(self, **fields: Any) -> Answer:
        seconds = self.seconds or self._clock() - self.start
        headers = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in self._headers}
        return Answer(
            self.status,
            headers,
            b"".join(self.pieces),
            seconds,
            self.whole,
            arrivals=self._arrivals,
            sizes=[len(piece) for piece in self.pieces],
            **fields,
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)
        self._arrivals.append(self._clock() - self.start)

    def on_message_complete(self) -> None:
        self.whole = True
        self.seconds = self._clock() - self.start
        self.keep = self._parser.should_keep_alive()  # it knows now, and no longer afterwards


class Connection(AbstractContextManager["Connection"]):
    """One kept-alive connection for one thread. One that the server closed while idle is opened
    anew, once.

    Args:
        timeout: seconds for the whole of each request.
    """

    def __init__(self, endpoint: Endpoint, timeout: float = 120.0) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._sock: socket.socket | None = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def open(self) -> socket.socket:
        if self._sock is None:
            where = (self.endpoint.host, self.endpoint.port)
            sock = socket.create_connection(where, timeout=self._timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.endpoint.tls:
                context = ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=self.endpoint.host)
            self._sock = sock
        return self._sock

    def chat(self, body: dict[str, Any]) -> Answer:
        """POST /v1/chat/completions; anything but 200 is a Failure."""
        return self.checked(self.endpoint.chat(body))

    def get(self, path: str) -> Answer:
        return self.send(self.endpoint.wire(path, None))

    def checked(self, wire: bytes) -> Answer:
        """As `send`, but anything other than 200 is a Failure."""
        answer = self.send(wire)
        if answer.status != 200:
            raise Failure(f"status {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}")
        return answer

    def send(self, wire: bytes) -> Answer:
        """Send prepared bytes and read the whole answer.

        Raises:
            Failure: it did not come, or not in time.
        """
        answer = self.ask(wire)
        if answer.problem:
            raise Failure(answer.problem)
        return answer

    def timed(self, wire: bytes, stream: bool = False) -> float:
        """Seconds until the answer was whole, or until a stream's first content.

        Raises:
            Failure: it was no answer with status 200, or a stream without content.
        """
        answer = self.checked(wire)
        found = answer.first_content if stream else answer.seconds
        if found is None:
            raise Failure("a stream without content")
        return found

    def timing(self, wire: bytes, stream: bool = False) -> Callable[[int], float]:
        """`timed` as a function of the sample's number."""
        return lambda _i: self.timed(wire, stream)

    def ask(
        self,
        wire: bytes,
        *,
        limit: float | None = None,
        abort_after: int | None = None,
        pause: float = 0.0,
    ) -> Answer:
        """One request. Keeps what came, and raises nothing for what the server or the network does.

        Args:
            limit: seconds for all of it (default: the connection's timeout); then it hangs up.
            abort_after: hang up after so many pieces of content.
            pause: a slow reader: seconds between two small reads.
        """
        reused = self._sock is not None
        reading, fields = self._exchange(wire, limit or self._timeout, abort_after, pause)
        failed = "problem" in fields and "late" not in fields
        if reused and failed and not reading.began:  # closed while it was idle
            reading, fields = self._exchange(wire, limit or self._timeout, abort_after, pause)
        answer = reading.answer(**fields)
        if not (answer.whole and reading.keep):
            self.close()
        return answer

    def _exchange(
        self, wire: bytes, limit: float, abort_after: int | None, pause: float
    ) -> tuple[Reading, dict[str, Any]]:
        reading = Reading()
        try:
            sock = self.open()
            reading.start = time.perf_counter()
            sock.sendall(wire)
            while not reading.whole:
                left = limit - (time.perf_counter() - reading.start)
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                reading.feed(sock.recv(256 if pause else 262_144))
                if abort_after is not None:
                    content = CONTENT.findall(b"".join(reading.pieces))
                    if len(content) >= abort_after:
                        return reading, {"aborted": True}
                if pause:
                    time.sleep(pause)
        except TimeoutError:
            return reading, {"late": True, "problem": "TimeoutError: timed out"}
        except (OSError, httptools.HttpParserError) as error:
            self.close()
            kind = type(error).__name__ if isinstance(error, OSError) else "not HTTP"
            return reading, {"problem": f"{kind}: {error}"}
        except BaseException:
            self.close()  # half an answer is on it
            raise
        return reading, {}
