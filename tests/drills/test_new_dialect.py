"""A new client API and a new kind of backend are: a file in `dialects/`, a module in `api/`, an
entry in `providers.py` (and the kind's name in the settings). Nothing else knows of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import orjson
import pytest
from toy_dialect import Toy

import providers
from airouter.api.fast_path import FlowRoute
from airouter.api.inference import Inference
from airouter.settings.schema import Settings
from app import FLOWS, create_app
from simulator.testing import Simulator

TOY = Toy()
PIECES = ["Twice ", "two ", "is four."]


class ToyKind(providers.OpenAICompatible):
    """The entry in `providers.py`."""

    kind = "toy"
    health_path = "/up"
    dialect = TOY


def toy_routes(runtime: Any) -> tuple[FlowRoute, ...]:
    """The module in `api/`."""
    inference = Inference(runtime)

    def talk(environ: dict[str, Any]) -> Any:
        return inference.chat(environ, TOY)

    return (FlowRoute("/toy/talk", ("POST",), talk, TOY),)


class ToyServer(BaseHTTPRequestHandler):
    """A backend that speaks the toy dialect."""

    asked: ClassVar[list[dict[str, Any]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200, b"{}")

    def do_POST(self) -> None:
        body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({"path": self.path, **body})
        if "fail" in body["say"][-1][1]:
            self._send(400, b'{"oops": "I will not."}')
        elif body["live"]:
            lines = [{"piece": piece} for piece in PIECES] + [{"over": "stop"}]
            self._send(200, b"".join(orjson.dumps(line) + b"\n" for line in lines))
        else:
            self._send(200, orjson.dumps({"said": "".join(PIECES), "over": "stop"}))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def toy_server() -> Iterator[str]:
    ToyServer.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), ToyServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def make_app(
    monkeypatch: pytest.MonkeyPatch, folder: Path, backend: dict[str, Any], kind: str
) -> Any:
    monkeypatch.setattr(providers, "KINDS", {**providers.KINDS, "toy": ToyKind()})
    monkeypatch.setattr("app.KINDS", providers.KINDS)
    settings = Settings.model_validate(
        {
            "backends": {"primary": backend},
            "routes": {"primary": {"backends": ["primary"]}},
            "cascade": {"tiers": ["rules"]},
            "logging": {"dir": folder},
        }
    )
    spec = settings.backends["primary"].model_copy(update={"kind": kind})
    monkeypatch.setattr("app.FLOWS", (*FLOWS, SimpleNamespace(routes=toy_routes)))
    app = create_app(settings.model_copy(update={"backends": {"primary": spec}}))
    return app


@pytest.fixture
def speaks_toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_server: str) -> Iterator[Any]:
    """A router whose backend speaks the toy dialect."""
    app = make_app(monkeypatch, tmp_path, {"url": toy_server, "model": "m"}, "toy")
    yield app.test_client()
    app.extensions["airouter"].close()


@pytest.fixture
def speaks_openai(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sim: Simulator) -> Iterator[Any]:
    """A router whose backend speaks OpenAI's."""
    app = make_app(monkeypatch, tmp_path, {"url": sim.url("primary")}, "vllm")
    yield app.test_client()
    app.extensions["airouter"].close()


def lines(raw: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in raw.splitlines() if line.strip()]


def test_an_openai_client_with_a_toy_backend(speaks_toy: Any) -> None:
    """The backend is asked in its own form; the client gets OpenAI's answer, whole or streamed."""
    ask = {"messages": [{"role": "user", "content": "2 x 2?"}]}
    answer = speaks_toy.post("/v1/chat/completions", json=ask)
    assert answer.json["choices"][0]["message"]["content"] == "".join(PIECES)
    stream = speaks_toy.post("/v1/chat/completions", json={**ask, "stream": True})
    assert stream.content_type.startswith("text/event-stream")
    events = [line[6:] for line in stream.data.splitlines() if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    deltas = [orjson.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == "".join(PIECES)
    asked = [
        {"path": "/talk", "engine": "m", "say": [["user", "2 x 2?"]]} | {"live": live}
        for live in (False, True)
    ]
    assert ToyServer.asked == asked


def test_a_toy_client_with_an_openai_backend(speaks_openai: Any) -> None:
    """It is routed, answered, streamed to and refused in its own form."""
    ask = {"say": [["user", "Hello"]]}
    answer = speaks_openai.post("/toy/talk", json=ask)
    assert answer.status_code == 200
    assert answer.headers["X-Router-Backend"] == "primary"
    assert answer.json["said"]
    assert answer.json["over"] == "stop"
    stream = speaks_openai.post("/toy/talk", json={**ask, "live": True})
    assert stream.content_type == "application/x-ndjson"
    said = lines(stream.data)
    assert said[-1] == {"over": "stop"}
    assert "".join(line["piece"] for line in said[:-1])
    refused = speaks_openai.post("/toy/talk", json={"say": "Hello"})
    assert refused.status_code == 400
    assert refused.json["oops"].startswith("'say' must be a list")


def test_a_toy_client_with_a_toy_backend(speaks_toy: Any) -> None:
    answer = speaks_toy.post("/toy/talk", json={"say": [["user", "2 x 2?"]], "live": True})
    assert [line.get("piece") for line in lines(answer.data)[:-1]] == PIECES


@pytest.mark.parametrize("live", [False, True])
def test_a_toy_backends_error_reaches_either_client(speaks_toy: Any, live: bool) -> None:
    """With its status and its reason."""
    toy = speaks_toy.post("/toy/talk", json={"say": [["user", "fail"]], "live": live})
    assert (toy.status_code, toy.json["oops"]) == (400, "I will not.")
    ask = {"messages": [{"role": "user", "content": "fail"}], "stream": live}
    openai = speaks_toy.post("/v1/chat/completions", json=ask)
    assert (openai.status_code, openai.json["error"]["message"]) == (400, "I will not.")
