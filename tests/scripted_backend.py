"""A backend that does with each request exactly what a test says, in OpenAI's format."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behave = Callable[["Asked"], None]


class Asked:
    """One chat request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        self._handler = handler
        self.body = body
        self.path = handler.path
        self.headers = handler.headers

    def header(self, name: str) -> str | None:
        return self._handler.headers[name]

    @property
    def prefill(self) -> str | None:
        """The text that is to be gone on with, if the last message is the assistant's."""
        last = self.body["messages"][-1]
        return last["content"] if last["role"] == "assistant" else None

    def refuse(self, status: int, message: str) -> None:
        self.answer({"error": {"message": message, "type": "x", "code": None}}, status)

    def answer(self, payload: Any, status: int = 200) -> None:
        """This as JSON; bytes as they are."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", "application/json")
        self._handler.send_header("Content-Length", str(len(raw)))
        self._handler.end_headers()
        self._handler.wfile.write(raw)

    def stream(self, *words: str, finish: bool = True) -> None:
        """These words as events; without `finish` the connection breaks behind them."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/event-stream")
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()
        for word in words:
            self.event({"content": word})
        if finish:
            self.event({}, "stop")
            self.raw(b"data: [DONE]\n\n")
        self._handler.close_connection = True

    def event(self, delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        self.raw(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")

    def taken(self, limit: float) -> bool:
        """Whether there is room for more within so many seconds."""
        return bool(select.select([], [self._handler.connection], [], limit)[1])

    def raw(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()


class Flood:
    """A behaviour: streams more than all buffers between it and a client hold, and tells when what
    it has written is no longer taken."""

    events = 12_500  # of 4 KB
    whole = "x" * 4000 * events

    def __init__(self) -> None:
        self.held_back = threading.Event()
        self.sent = 0

    def __call__(self, asked: Asked) -> None:
        asked.stream(finish=False)
        for _ in range(self.events):
            if not asked.taken(1.0):
                self.held_back.set()
            asked.event({"content": "x" * 4000})
            self.sent += 1
        asked.event({}, "stop")
        asked.raw(b"data: [DONE]\n\n")


class ScriptedBackend:
    """`with ScriptedBackend(behave) as backend:`; `backend.asked` are the bodies that came."""

    def __init__(self, behave: Behave) -> None:
        self.asked: list[dict[str, Any]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                scripted.asked.append(body)
                behave(Asked(self, body))

            def log_message(self, *_: Any) -> None:
                """Not to the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScriptedBackend:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
