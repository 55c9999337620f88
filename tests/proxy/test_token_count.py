"""Asking a backend for the tokens of a prompt: whom, what, and what a strange answer means."""

from __future__ import annotations

from typing import Any

import pytest
from making import make_backend
from simulated_world import Script, World, whole

from airouter.dialects.openai_request import parse_request
from airouter.flow.exchange import Exchange
from airouter.proxy.token_count import count_tokens
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend

TOOLS = [{"type": "function", "function": {"name": "read_file"}}]
MESSAGES = [{"role": "user", "content": "one two"}]
REQUEST = parse_request("chat", {"messages": MESSAGES, "tools": TOOLS})


def backend(world: World, name: str, **settings: Any) -> Backend:
    spec = BackendSettings(
        **{"url": f"http://{name}.test", "model": "m", "kind": "vllm"} | settings
    )
    return make_backend(name, spec, world.clock, connect=world.connect)


def count(world: World, *backends: Backend) -> int | None:
    """Through the same driver as a flow; what the count returns."""
    counted: list[int | None] = []

    def flow() -> Any:
        counted.append((yield from count_tokens(exchange, REQUEST, backends)))

    exchange = Exchange(world.clock, client=None, client_ip="", total=300)
    world.run(exchange, flow())
    exchange.close()
    return counted[0]


@pytest.mark.parametrize(
    ("kind", "answer"), [("vllm", {"count": 7}), ("openai", {"tokens": [1] * 7})]
)
def test_each_kind_of_server_is_asked_in_its_own_way(kind: str, answer: dict[str, Any]) -> None:
    """vLLM gets messages and tools, llama.cpp's server their text; the breaker is not told."""
    world, seen = World(), list[Any]()

    def tokenize(path: str, body: dict[str, Any]) -> Script:
        seen.append((path, body))
        return whole(answer)

    world.scripts["b"] = tokenize
    one = backend(world, "b", kind=kind)
    assert count(world, one) == 7
    path, body = seen[0]
    assert path == "/tokenize"
    assert (body["model"], body["messages"], body["tools"]) == ("m", MESSAGES, TOOLS)
    assert ("content" in body) is (kind == "openai")
    if kind == "openai":
        assert body["content"].startswith("one two\n[{")
    assert one.breaker.state == "closed"
    assert one.limiter.in_use == 0


@pytest.mark.parametrize(
    "script",
    [
        whole({"count": 7}, status=500),
        whole({"count": "7"}),
        whole({"count": True}),
        whole({"tokens": []}),
        [(0.0, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[")],
        whole({"count": 7}, after=1.2),
        [(0.0, None)],
    ],
    ids=("status", "text", "true", "none", "no JSON", "slow", "broken"),
)
def test_without_a_sound_answer_there_is_no_count(script: Script) -> None:
    """After a second at most; the backend is not held responsible."""
    world = World()
    world.scripts["b"] = lambda _path, _body: script
    one = backend(world, "b")
    assert count(world, one) is None
    assert world.now <= 1.0
    assert one.breaker.state == "closed"


def test_only_local_servers_that_can_count_are_asked() -> None:
    """No prompt is sent to a cloud to be counted."""
    world = World()
    world.scripts["b"] = lambda _path, _body: whole({"count": 7})
    out = backend(world, "out")
    out.out = True
    others = (
        backend(world, "cloud", local=False, api_key="k"),
        backend(world, "ollama", kind="ollama"),
        out,
    )
    assert count(world, *others) is None
    assert world.log == []
    assert count(world, *others, backend(world, "b")) == 7
