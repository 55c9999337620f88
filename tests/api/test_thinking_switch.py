"""One switch for reasoning, over HTTP: on every API, for every kind of backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from harness import Stream
from scripted_backend import Asked, ScriptedBackend

from bench.router_process import RouterProcess

Json = dict[str, Any]
HI = [{"role": "user", "content": "Hi"}]
KINDS: dict[str, Json] = {
    "vllm": {"kind": "vllm", "model": "qwen3"},
    "ollama": {"kind": "ollama", "model": "gpt-oss:20b"},
    "xai": {"kind": "xai", "model": "grok-4.3", "local": False, "api_key": "k"},
}
# What each is told, where a client wants little reasoning, and none.
LOW: dict[str, Json] = {
    "vllm": {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"},
    "ollama": {"reasoning_effort": "low"},
    "xai": {"reasoning_effort": "low"},
}
OFF: dict[str, Json] = {
    "vllm": {"chat_template_kwargs": {"enable_thinking": False}},
    "ollama": {"reasoning_effort": "low"},  # as little as that model can do
    "xai": {"reasoning_effort": "none"},
}
FIELDS = ("chat_template_kwargs", "thinking", "think", "reasoning_effort", "reasoning")
World = tuple[RouterProcess, dict[str, ScriptedBackend]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router, with an alias for each of its backends."""
    with ExitStack() as stack:
        asked = {name: stack.enter_context(ScriptedBackend(_answers)) for name in KINDS}
        backends = {name: {**KINDS[name], "url": asked[name].url} for name in KINDS}
        config = {
            "backends": {**backends, "primary": {"url": None}, "router": {"url": None}},
            "aliases": {f"the-{name}": [name] for name in KINDS},
            "routes": {"primary": {"backends": ["vllm"]}, "xai": {"backends": ["xai"]}},
            "cascade": {"tiers": ["rules"]},
            "speculation": {"enabled": False},
            "probes": {"enabled": False},
        }
        router = RouterProcess(tmp_path_factory.mktemp("switch"), backends={}, config=config)
        yield router.start(), asked
        router.stop()


def _answers(asked: Asked) -> None:
    asked.stream("Hello")


def told(backend: ScriptedBackend) -> Json:
    return {name: backend.asked[-1][name] for name in FIELDS if name in backend.asked[-1]}


def ask(router: RouterProcess, path: str, **body: Any) -> requests.Response:
    asked = "input" if path.startswith("/v1/responses") else "messages"
    answer = requests.post(router.url + path, json={asked: HI, **body}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/v1/chat/completions", {"reasoning_effort": "low"}, LOW),
        ("/v1/chat/completions", {"chat_template_kwargs": {"enable_thinking": False}}, OFF),
        ("/v1/messages", {"thinking": {"type": "disabled"}, "max_tokens": 9}, OFF),
        ("/v1/messages", {"thinking": {"type": "adaptive"}, "max_tokens": 9,
                          "output_config": {"effort": "low"}}, LOW),
        ("/v1/messages", {"thinking": {"type": "enabled", "budget_tokens": 2000},
                          "max_tokens": 9}, LOW),
        ("/api/chat", {"think": False, "stream": False}, OFF),
        ("/api/chat", {"think": "low", "stream": False}, LOW),
        ("/v1/responses", {"reasoning": {"effort": "none"}}, OFF),
        ("/v1/responses", {"reasoning": {"effort": "minimal"}}, LOW),
        ("/v1/responses", {"reasoning": {"effort": "none"}, "chat_template_kwargs": {}}, OFF),
    ],
)  # fmt: skip
def test_each_spelling_becomes_what_the_backend_understands(
    world: World, kind: str, path: str, fields: Json, expected: dict[str, Json]
) -> None:
    router, backends = world
    answer = ask(router, path, model=f"the-{kind}", **fields)
    assert told(backends[kind]) == expected[kind]
    level, adjusted = "low" if expected is LOW else "off", answer.headers.get("X-Router-Adjusted")
    if fields == expected[kind]:  # it is the backend's own spelling
        assert adjusted is None
    else:
        assert f"thinking={level} from " in adjusted
        assert ", sent as " in adjusted


@pytest.mark.parametrize(
    ("model", "backend", "expected"),
    [
        ("ai-router:low", "vllm", LOW["vllm"]),
        ("ai-router:off", "vllm", OFF["vllm"]),
        ("ai-router/xai:low", "xai", LOW["xai"]),
        ("ai-router/xai:off", "xai", OFF["xai"]),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat"]
)
def test_the_models_name(world: World, path: str, model: str, backend: str, expected: Json) -> None:
    router, backends = world
    answer = ask(router, path, model=model, max_tokens=9, stream=False)
    assert told(backends[backend]) == expected
    level = model.rpartition(":")[2]
    assert f"thinking={level} from the model name, sent as " in answer.headers["X-Router-Adjusted"]


def test_the_models_name_in_a_stream_and_in_an_explanation(world: World) -> None:
    router, backends = world
    stream = Stream(router, {"messages": HI, "model": "ai-router:off"}).read()
    assert (stream.text, told(backends["vllm"])) == ("Hello", OFF["vllm"])
    explained = router.post("/api/route", {"messages": HI, "model": "ai-router/xai:off"})
    assert explained.json()["route"] == "xai"


def test_counts_of_tokens_know_the_models_name(world: World) -> None:
    router, _ = world
    for path in ("/v1/responses/input_tokens", "/v1/messages/count_tokens"):
        for model in ("ai-router:low", "ai-router/xai:low"):
            assert ask(router, path, model=model).json()["input_tokens"] > 0


def test_names_that_are_none(world: World) -> None:
    """Levels are not listed, but known; other endings are unknown models."""
    router, _ = world
    listed = [model["id"] for model in router.get("/v1/models").json()["data"]]
    assert not any(":low" in name for name in listed)
    assert router.get("/v1/models/ai-router:low").json()["id"] == "ai-router:low"
    assert router.get("/v1/models/ai-router:loud").status_code == 404
    body = {"messages": HI, "model": "ai-router:loud"}
    assert router.post("/v1/chat/completions", body).status_code == 404


def test_what_says_nothing_passes_unchanged(world: World) -> None:
    router, backends = world
    answer = ask(router, "/v1/chat/completions", model="the-vllm")
    assert backends["vllm"].asked[-1] == {"messages": HI, "model": "qwen3"}
    assert "X-Router-Adjusted" not in answer.headers
