"""What the end-to-end tests share: asking the router, reading its streams, steering the simulator,
waiting for what follows."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests

from bench.router_process import RouterProcess
from simulator.testing import Simulator, answer_numbers

T = TypeVar("T")
REFUSED = "http://127.0.0.1:9"  # the discard port: nothing listens there
META = (
    "### Task:\nGenerate a concise title for the conversation.\n### Guidelines:\n- Be short.\n"
    "- No quotes.\n"
    + "- Use the language of the conversation.\n"
    * 6
    + "### Chat History:\n<chat_history>\nUSER: How do I boil an egg?\n"
    "ASSISTANT: Ten minutes in boiling water.\n</chat_history>"
)


def eventually(look: Callable[[], T], limit: float = 5.0, why: str = "") -> T:
    """What `look` returns as soon as it is true; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, why or f"waited {limit:g} s in vain; last: {found!r}"
        time.sleep(0.01)


def steer(text: str, **by_role: dict[str, Any]) -> str:
    """The text with a marker that the simulator obeys: `steer("Hello", primary={"tokens": 5},
    router={"label": "COMPLEX"})`."""
    return f"{text} [[sim {json.dumps(by_role)}]]"


def body(text: str | list[Any], **fields: Any) -> dict[str, Any]:
    """A chat request of one user message."""
    return {"messages": [{"role": "user", "content": text}], **fields}


def ask(
    router: RouterProcess,
    text: str | list[Any],
    *,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> requests.Response:
    """A whole answer to one user message."""
    return router.post("/v1/chat/completions", body(text, **fields), headers=headers)


def content(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def is_whole(text: str, least: int = 8) -> bool:
    """Whether a simulated answer has all its words, each once and in order."""
    numbers = answer_numbers(text)
    return len(numbers) >= least and numbers == list(range(1, len(numbers) + 1))


def route_of(response: requests.Response) -> str:
    return response.headers["X-Router-Route"]


def error_of(response: requests.Response) -> dict[str, Any]:
    """The error object, after checking that it has OpenAI's shape."""
    return error_in(response.json(), response.text)


def error_in(payload: Any, shown: str = "") -> dict[str, Any]:
    assert isinstance(payload, dict), shown
    error = payload.get("error")
    assert isinstance(error, dict), shown
    assert {"message", "type", "param", "code"} <= set(error), shown
    assert isinstance(error["message"], str), shown
    assert error["message"], shown
    assert isinstance(error["type"], str), shown
    for trace in ("Traceback", 'File "', "Error(", "Exception(", "line 1, in"):
        assert trace not in error["message"], shown
    return error


def until_logged(folder: Path, count: int) -> None:
    """Wait until a router whose log is somewhere below a folder has written so many REQUEST
    lines."""

    def written() -> bool:
        found = (path.read_text(encoding="utf-8") for path in folder.rglob("app.log"))
        return sum(text.count(" REQUEST ") for text in found) >= count

    eventually(written, limit=150, why=f"no {count} requests were logged below {folder}")


class Stream:
    """One streamed answer as it comes: comments, events, and when each was there (seconds from the
    request)."""

    def __init__(
        self,
        router: RouterProcess,
        payload: dict[str, Any],
        path: str = "/v1/chat/completions",
        **headers: str,
    ) -> None:
        self.started = time.monotonic()
        self._http = requests.Session()
        self._http.trust_env = False
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = self._http.post(
            router.url + path,
            json={**payload, "stream": True},
            headers=names,
            stream=True,
            timeout=30,
        )
        self.headers_after = time.monotonic() - self.started
        self.comments: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.first_after: float | None = None
        self.done = False
        self.raw: list[bytes] = []

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> Any:
        return self.response.headers

    def read(self) -> Stream:
        """All of it."""
        for _ in self:
            pass
        self.close()
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self.response.iter_lines(chunk_size=None):
            self.raw.append(line)
            if line.startswith(b":"):
                self.comments.append(line.decode())
            elif line == b"data: [DONE]":
                self.done = True
            elif line.startswith(b"data:"):
                event = json.loads(line[5:])
                if self.first_after is None:
                    self.first_after = time.monotonic() - self.started
                self.events.append(event)
                yield event
            else:
                assert line == b"", line

    def close(self) -> None:
        self.response.close()
        self._http.close()

    @property
    def text(self) -> str:
        """The answer of choice 0."""
        return "".join(
            choice.get("delta", {}).get("content") or choice.get("text") or ""
            for event in self.events
            for choice in event.get("choices", ())
            if choice["index"] == 0
        )

    @property
    def error(self) -> dict[str, Any] | None:
        """The error event that ended it, if one did."""
        return error_in(self.events[-1]) if self.events and "error" in self.events[-1] else None

    @property
    def finish_reasons(self) -> list[str]:
        return [
            c["finish_reason"]
            for event in self.events
            for c in event.get("choices", ())
            if c.get("finish_reason")
        ]


class Wire:
    """A client on a bare socket, which can leave at any moment."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)

    def post(self, path: str, payload: Any, **headers: str) -> Wire:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(raw)}"]
        lines += [
            f"{name.replace('_', '-')}: {value}"
            for name, value in {"Content_Type": "application/json", **headers}.items()
        ]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + raw)
        return self

    def read_until(self, mark: bytes, limit: int = 10_000_000) -> bytes:
        """What came up to and including `mark` (and perhaps some more)."""
        data = bytearray()
        while len(data) < limit:
            piece = self.sock.recv(65536)
            if not piece:
                break
            seen = max(0, len(data) - len(mark))
            data += piece
            if data.find(mark, seen) >= 0:
                break
        return bytes(data)

    def leave(self) -> float:
        """Close the connection; when that was, in seconds since the epoch."""
        self.sock.close()
        return time.time()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def session_file(router: RouterProcess, id8: str) -> dict[str, Any]:
    """The session file of an exchange, once it is written."""
    found: list[Path] = eventually(
        lambda: list((router.log_dir / "sessions").glob(f"*_{id8}.json")),
        why=f"no session file of {id8}",
    )
    assert len(found) == 1
    document: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return document


@contextmanager
def counted(router: RouterProcess, requests_sent: int) -> Iterator[list[str]]:
    """Around some requests: exactly so many records (in the metrics and as REQUEST lines) follow;
    yields those lines."""

    def written() -> list[str]:
        return [
            line.partition(" - INFO - ")[2] for line in router.log() if " - INFO - REQUEST " in line
        ]

    def records() -> float:
        return router.metric("airouter_requests_total")

    eventually(lambda: len(written()) >= records(), why="too few REQUEST lines")
    before, at = records(), len(written())
    assert before == at, "not one REQUEST line for each record"
    lines: list[str] = []
    yield lines
    eventually(lambda: records() - before >= requests_sent, why="too few records")
    eventually(lambda: len(written()) - at >= requests_sent, why="too few REQUEST lines")
    assert records() - before == requests_sent
    lines += written()[at:]
    assert len(lines) == requests_sent, lines


def all_free(router: RouterProcess) -> None:
    """Every slot is back, nothing is under way."""
    eventually(
        lambda: not any(router.in_use().values()), why=f"slots still in use: {router.in_use()}"
    )
    eventually(lambda: router.metric("airouter_in_flight") == 0, why="still in flight")


def asked(sim: Simulator, role: str) -> list[dict[str, Any]]:
    """The bodies of the generation requests that a role has received."""
    return [json.loads(seen["body"]) for seen in sim.stats(role)["requests"]]
