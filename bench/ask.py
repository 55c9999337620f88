"""One request on a connection of its own, under one limit for all of it; keeps what came even if the answer breaks off."""

import socket
import time
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import httptools
import orjson

from bench.client import CHAT, CONTENT, Endpoint


@dataclass(slots=True)
class Answer:
    """What came back. `whole`: the HTTP message has its end; `late`: the limit ran out. Times in seconds from the request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    whole: bool = False
    late: bool = False
    arrivals: list[float] = field(default_factory=list)  # of pieces of the body
    sizes: list[int] = field(default_factory=list)  # of those pieces, in bytes
    problem: str = ""

    @property
    def streamed(self) -> bool:
        return "event-stream" in self.headers.get("content-type", "")

    @property
    def gap(self) -> float:
        """The longest silence within the body."""
        return max((b - a for a, b in pairwise(self.arrivals)), default=0.0)

    @property
    def first_content(self) -> float | None:
        """Seconds until there was text to read: all of it in a whole answer; None when none came."""
        if not self.streamed:
            return self.seconds if self.text else None
        found = CONTENT.search(self.body)
        if found is None:
            return None
        ends = accumulate(self.sizes)
        return next(at for at, end in zip(self.arrivals, ends, strict=True) if end >= found.end())

    def events(self) -> list[Any]:
        """The events of a stream, "[DONE]" as that string, what is not JSON as bytes."""
        found: list[Any] = []
        for block in self.body.replace(b"\r\n", b"\n").split(b"\n\n"):
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    found.append(_event(line[5:].strip()))
        return found

    def payload(self) -> Any:
        """The JSON of a whole answer; None when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def text(self) -> str:
        """The answer's text, streamed or not."""
        choices = []
        for found in self.events() if self.streamed else [self.payload()]:
            if isinstance(found, dict):
                choices += [
                    choice for choice in found.get("choices") or [] if isinstance(choice, dict)
                ]
        parts = [choice.get("delta") or choice.get("message") or {} for choice in choices]
        return "".join(part.get("content") or "" for part in parts)


def _event(payload: bytes) -> Any:
    if payload == b"[DONE]":
        return "[DONE]"
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload


class _Parts:
    def __init__(self, answer: Answer, started: float) -> None:
        self._answer, self._started = answer, started
        self.pieces: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)
        self._answer.arrivals.append(time.perf_counter() - self._started)
        self._answer.sizes.append(len(data))

    def on_message_complete(self) -> None:
        self._answer.whole = True


def ask(endpoint: Endpoint, body: dict[str, Any], limit: float, path: str = CHAT) -> Answer:
    """Never raises for what the server does: see `problem`, `late` and `whole`."""
    answer = Answer()
    started = time.perf_counter()
    parts = _Parts(answer, started)
    parser = httptools.HttpResponseParser(parts)
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=limit) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(endpoint.wire(path, body, close=True))
            while not answer.whole:
                left = limit - (time.perf_counter() - started)
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                data = sock.recv(65536)
                if not data:
                    answer.problem = "the connection ended before the answer did"
                    break
                parser.feed_data(data)
    except TimeoutError:
        answer.late = True
    except OSError as error:
        answer.problem = f"{type(error).__name__}: {error}"
    except httptools.HttpParserError as error:
        answer.problem = f"not HTTP: {error}"
    answer.seconds = time.perf_counter() - started
    answer.body = b"".join(parts.pieces)
    answer.status = parser.get_status_code() if answer.headers else 0
    return answer
