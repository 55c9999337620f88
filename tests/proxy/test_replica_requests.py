"""Requests to a backend with replicas: where they go, and where from there. Backends are scripts,
and the clock jumps."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from replica_fleet import URLS, fleet, talk
from simulated_world import Script, World, stream, whole

from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import UpstreamBroken, UpstreamStatus
from airouter.flow.exchange import Exchange
from airouter.proxy.pipeline import find_backend
from airouter.proxy.request_state import Head, RoutingOverrides

BY_NAME = RoutingOverrides(backend="fleet")


class Fleet:
    """Three replicas that answer after a second, but for those in `failing`, which say 502 at
    once. `special`: what the batch that begins with an input gets instead, once."""

    def __init__(self, **spec: Any) -> None:
        self.world = World()
        self.failing: set[str] = set()
        self.special: dict[str, Script] = {}
        self.model: dict[str, str] = {}
        self.state = fleet(clock=self.world.clock, max_inputs=2, **spec)
        for name, backend in self.state.backends.items():
            backend.connect = self.world.connect
            self.world.scripts[name] = self._script(name)

    def _script(self, name: str) -> Any:
        def answer(path: str, body: dict[str, Any]) -> Script:
            if name.startswith("router"):
                return stream("SIMPLE\n", first=0.5)
            if name in self.failing:
                return whole({"error": {"message": "down"}}, status=502)
            if path.endswith("embeddings"):
                first = str(body["input"][0])
                data = [{"index": i, "embedding": [t]} for i, t in enumerate(body["input"])]
                given = {"object": "list", "data": data, "model": self.model.get(name, "m")}
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                return self.special.pop(first, None) or whole({**given, "usage": usage}, after=1.0)
            message = {"role": "assistant", "content": "Yes."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return whole({"model": "m", "choices": [choice]}, after=1.0)

        return answer

    def chat(
        self, messages: list[Any], overrides: RoutingOverrides = BY_NAME, **fields: Any
    ) -> Exchange:
        exchange = self._exchange()
        request = parse_request("chat", {"messages": messages, **fields})
        self._run(exchange, self.state.pipeline.chat(exchange, request, overrides))
        return exchange

    def embed(self, inputs: list[str]) -> tuple[Exchange, Any]:
        exchange = self._exchange()
        request = parse_request("embeddings", {"input": inputs})
        body = self._run(exchange, self.state.pipeline.plain(exchange, request, BY_NAME))
        return exchange, orjson.loads(body)

    def _exchange(self) -> Exchange:
        return Exchange(self.world.clock, client=None, client_ip="", total=300)

    def _run(self, exchange: Exchange, flow: Any) -> bytes:
        try:
            [head] = [item for item in self.world.run(exchange, flow) if isinstance(item, Head)]
        finally:
            exchange.close()
            assert not any(b.limiter.in_use for b in self.state.backends.values())
        return head.body or b""


def test_a_conversation_stays_and_moves_only_when_its_replica_fails() -> None:
    """By the name of the backend's model, too: another replica answers, and goes on answering."""
    them = Fleet(cooldown=3600)
    assert find_backend(them.state.backends, "m") == "fleet"
    before = {i: them.chat(talk(i)).record.backend for i in range(12)}
    assert len(set(before.values())) == 3
    assert {i: them.chat(talk(i)).record.backend for i in range(12)} == before
    them.failing = {"fleet-1"}
    during = {i: them.chat(talk(i)).record.backend for i in range(12)}
    after = {i: them.chat(talk(i)).record.backend for i in range(12)}
    assert during == after
    assert {i for i in before if before[i] != after[i]} == {
        i for i in before if before[i] == "fleet-1"
    }


def test_the_answer_that_was_begun_early_is_the_answer() -> None:
    """Speculation asks the replica that the plan begins with, and nobody else is asked, although
    its slot has become the replica's last one."""
    them = Fleet(
        slots=1,
        sections={
            "backends": {
                "fleet": {"urls": URLS, "model": "m", "slots": 1, "kind": "vllm"},
                "router": {"urls": URLS[:2], "model": "r"},
            },
            "cascade": {"tiers": ["reasoning"]},
        },
    )
    exchange = them.chat(talk(1), RoutingOverrides())
    assert exchange.record.speculation == "won"
    assert len(them.world.log) == 4  # one of each group, asked and closed
    assert exchange.record.backend == them.chat(talk(1)).record.backend


def test_a_tool_conversation_stays_on_its_replica() -> None:
    """Even where its messages no longer say which one that is."""
    them = Fleet()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    preferred = them.chat(talk(1)).record.backend or ""
    them.state.backends[preferred].out = True
    first = them.chat(talk(1), RoutingOverrides(), tools=tools).record.backend
    assert first != preferred
    them.state.backends[preferred].out = False
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = [
        *talk(1),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "5"},
    ]
    assert them.chat(result, RoutingOverrides(), tools=tools).record.backend == first


def test_batches_are_spread_and_in_order() -> None:
    """Twenty-four batches, four at each of three replicas: two rounds."""
    them = Fleet()
    texts = [f"text {i}" for i in range(48)]
    exchange, answer = them.embed(texts)
    assert [one["embedding"] for one in answer["data"]] == [[text] for text in texts]
    assert them.world.now == 2.0
    asked = Counter(name for _, name, what in them.world.log if what == "asked")
    assert asked == {"fleet-1": 8, "fleet-2": 8, "fleet-3": 8}
    assert {str(one) for one in exchange.record.attempts} == {f"{name}: ok" for name in asked}


def test_a_batch_moves_to_another_replica() -> None:
    them = Fleet()
    them.failing = {"fleet-2"}
    texts = [f"text {i}" for i in range(24)]
    exchange, answer = them.embed(texts)
    assert [one["embedding"] for one in answer["data"]] == [[text] for text in texts]
    assert exchange.record.outcome == "ok"


def test_a_batch_that_no_replica_answers_fails_the_request() -> None:
    """As does one that is refused, or answered by another model: embeddings would not compare."""
    them = Fleet()
    texts = [f"text {i}" for i in range(24)]
    them.special["text 6"] = whole({"error": {"message": "no"}}, status=400)
    with pytest.raises(UpstreamStatus):
        them.embed(texts)
    them.model["fleet-3"] = "other"
    with pytest.raises(UpstreamBroken, match="after those of"):
        them.embed(texts)
    them.failing = {*them.state.backends}
    with pytest.raises(UpstreamStatus):
        them.embed(texts)
