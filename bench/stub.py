"""A backend that stamps each chunk with the time at which it was sent, and costs little itself:
thousands of paced streams on a fraction of a core.

It answers every chat request. How its streams are paced is set for all of them, by
`PUT /_stub {"chunks": 20, "tps": 2, "padding": 0}`, so that requests need not say it.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Self

import httptools
import orjson
import uvloop

from bench.client import Connection, Endpoint
from simulator.processes import Startable, die_with_parent, end
from simulator.wire import SSE

MODEL = "primary-model"
_BASE = {"id": "chatcmpl-stub", "created": 1_700_000_000, "model": MODEL}
_WORDS = " ".join(f"word{number}" for number in range(1, 21))
_USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Pace:
    """Of every stream that begins from now on.

    Args:
        chunks: pieces of content.
        tps: of them per second; the first one comes at once.
        padding: bytes of content beside the stamp in each.
    """

    chunks: int = 20
    tps: float = 20.0
    padding: int = 0


class Stub(Startable):
    """Runs it as a process of its own, on 127.0.0.1. It plays all roles of the simulator."""

    roles = ("router", "primary", "xai")

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it ended instead.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.stub"],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stub ended with status {self._process.wait(5)}")
        self._port = int(line)
        return self

    def stop(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        status = end(process)
        if process.stdout is not None:
            process.stdout.close()
        return status

    def url(self, role: str = "primary") -> str:
        return f"http://127.0.0.1:{self._port}"

    def port(self, role: str = "primary") -> int:
        return self._port

    def pace(self, chunks: int, tps: float, padding: int = 0) -> None:
        """How the streams that begin from now on are paced."""
        endpoint = Endpoint.of(self.url())
        with Connection(endpoint, timeout=10) as connection:
            wire = endpoint.wire("/_stub", asdict(Pace(chunks, tps, padding)))
            connection.checked(wire.replace(b"POST", b"PUT", 1))


# The process --------------------------------------------------------------------------------------


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _json_event({**_BASE, "object": "chat.completion.chunk", "choices": [choice]})


def _json_event(payload: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def _head(status: bytes, kind: bytes, framing: bytes, close: bool) -> bytes:
    more = b"Connection: close\r\n" if close else b""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%b\r\n%b\r\n" % (status, kind, framing, more)


_ROLE = _chunk(_event({"role": "assistant", "content": ""}))
_BEFORE, _AFTER = _event({"content": "STAMP"}).split(b"STAMP")
_FINISH = _chunk(_event({}, "stop"))
_TOTAL = _chunk(
    _json_event({**_BASE, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})
)
_WHOLE = orjson.dumps(
    {
        **_BASE,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _WORDS},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
    }
)
_MODELS = orjson.dumps(
    {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "stub"}]}
)


class _Server:
    def __init__(self) -> None:
        self.pace = Pace()


class _Exchange(asyncio.Protocol):
    """A connection; httptools calls the methods that begin with `on_`."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._path, self._body = b"", list[bytes]()
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def on_url(self, url: bytes) -> None:
        self._path, self._body = url, []

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        close = not self._parser.should_keep_alive()
        body = orjson.loads(b"".join(self._body) or b"{}")
        self._body = []
        if self._path == b"/_stub":
            self._server.pace = Pace(**body)
            self._whole(b"{}", close)
        elif self._path.endswith(b"/chat/completions"):
            if body.get("stream"):
                told = (body.get("stream_options") or {}).get("include_usage")
                self._stream(bool(told), close)
            else:
                self._whole(_WHOLE, close)
        elif self._path.endswith(b"/models"):
            self._whole(_MODELS, close)
        elif self._path.startswith(b"/health"):
            self._whole(b"{}", close)
        else:
            self._whole(b'{"error": {"message": "not here"}}', close, b"404 Not Found")

    def _whole(self, body: bytes, close: bool, status: bytes = b"200 OK") -> None:
        length = b"Content-Length: %d" % len(body)
        self._transport.write(_head(status, b"application/json", length, close) + body)
        if close:
            self._transport.close()

    def _stream(self, usage: bool, close: bool) -> None:
        pace, loop = self._server.pace, asyncio.get_running_loop()
        framing, begun = b"Transfer-Encoding: chunked", loop.time()
        last = _FINISH + (_TOTAL if usage else b"") + _chunk(_DONE) + b"0\r\n\r\n"
        padding = b"x" * pace.padding

        def send(number: int, head: bytes = b"") -> None:
            over = number + 1 >= pace.chunks
            if self._paused:  # its reader does not keep up: it waits, as a model would
                self._timer = loop.call_later(1 / pace.tps, partial(send, number, head))
                return
            stamp = b"%d " % time.monotonic_ns()
            piece = _chunk(_BEFORE + stamp + padding + _AFTER)
            self._transport.write(head + piece + (last if over else b""))
            if not over:
                due = begun + (number + 1) / pace.tps
                self._timer = loop.call_at(due, partial(send, number + 1))
            elif close:
                self._transport.close()

        send(0, _head(b"200 OK", SSE.encode(), framing, close) + _ROLE)


async def _serve() -> None:
    server, loop = _Server(), asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Exchange(server), "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    uvloop.run(_serve())
