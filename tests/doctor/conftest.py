"""What the tests of the doctor share: servers that `responses` imitates, and the simulator with
every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses

from airouter.doctor.http import Server
from airouter.doctor.probe import CAPABILITIES
from airouter.doctor.subject import Found, Subject
from airouter.domain.clock import Clock
from airouter.settings.load import ENVIRONMENT, ROOT
from simulator.testing import Simulator

URL = "http://backend.test:8000"
KINDS = {"router": "vllm", "primary": "vllm", "embedding": "vllm", "xai": "xai", "ollama": "ollama"}
ASK = {capability.name: capability.ask for capability in CAPABILITIES}
Reply = Callable[[dict[str, Any]], Any]


def completion(content: str | None = "yes", **more: Any) -> dict[str, Any]:
    """A chat completion with this message."""
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 20}}


def judged(subject: Subject, name: str, *, thinks: str = "") -> Found:
    """The verdict on one capability of a server that answers chat."""
    subject.found.setdefault("chat", Found("yes", "", thinks))
    subject.found.setdefault("thinking", Found("yes" if thinks else "no", thinks))
    return ASK[name](subject)


class Imitated:
    """A server; each path answers with a status and a body, or by a function of the request."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, body: Any = None, status: int = 200, **more: Any) -> None:
        self._add("GET", path, body, status, **more)

    def chat(self, reply: Reply | Any, status: int = 200) -> None:
        self.post("/v1/chat/completions", reply, status)

    def post(self, path: str, reply: Reply | Any, status: int = 200) -> None:
        def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
            sent = json.loads(request.body)
            self.asked.append((path, sent))
            said = reply(sent) if callable(reply) else reply
            code, value = said if isinstance(said, tuple) else (status, said)
            return code, {}, value if isinstance(value, bytes) else json.dumps(value).encode()

        self.mock.add_callback("POST", URL + path, callback=answer)

    def _add(self, method: str, path: str, body: Any, status: int, **more: Any) -> None:
        raw = body if isinstance(body, str | bytes) else json.dumps(body)
        self.mock.add(method, URL + path, body=raw, status=status, **more)


@pytest.fixture
def imitated() -> Iterator[Imitated]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Imitated(mock)


@pytest.fixture
def subject() -> Subject:
    """The imitated server, of which nothing is known but its model."""
    return Subject(Server(URL, Clock(), api_key="secret-key-1"), "m")


@pytest.fixture(scope="session")
def every_kind() -> Iterator[Simulator]:
    with Simulator(profile="fast", roles=tuple(KINDS)) as simulator:
        yield simulator


@pytest.fixture
def kinds(every_kind: Simulator) -> Simulator:
    """The simulator with every role that it has, as if just started."""
    every_kind.reset()
    return every_kind


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """This process without the variables that configure a router."""
    for name in (*ENVIRONMENT, "ROUTER_CONFIG", "API_KEY_FILE", "XAI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.chdir(ROOT)
    return monkeypatch
