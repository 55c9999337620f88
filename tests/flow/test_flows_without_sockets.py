"""The flows that ship, under a driver that has neither sockets nor threads nor real time: what
happens when, to the millisecond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulated_world import Script, World, stream, whole

from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import ClientGone, UpstreamTimeout
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Keepalive
from airouter.proxy.request_state import Head, RoutingOverrides
from airouter.resilience.per_process import PerProcess
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from app import build_state


def world_of(tmp_path: Path, **changes: Any) -> tuple[World, State]:
    """A router model, two local backends and a cloud."""
    world = World()
    backends: dict[str, Any] = {
        name: {"url": f"http://{name}.test", "model": name, "kind": "vllm"}
        for name in ("router", "primary", "second")
    }
    backends["xai"] = {
        "url": "http://xai.test",
        "model": "grok",
        "kind": "xai",
        "api_key": "k",
        "local": False,
    }
    sections = {
        "backends": backends,
        "routes": {
            "primary": {"backends": ["primary", "second"]},
            "xai": {"backends": ["xai"]},
            "enrich": {"backends": ["primary", "second"]},
        },
        "cascade": {"tiers": ["rules", "reasoning"]},
        "logging": {"dir": tmp_path},
        **changes,
    }
    state = build_state(
        Settings.model_validate(sections), SILENT, world.clock, PerProcess(world.clock)
    )
    for backend in state.backends.values():
        backend.connect = world.connect
    return world, state


def ask(world: World, state: State, *, streamed: bool = True) -> tuple[Exchange, list[Any]]:
    """One request: its exchange, closed, and what its flow yielded."""
    exchange = Exchange(world.clock, client=None, client_ip="", total=300)
    payload = {"messages": [{"role": "user", "content": "What is it?"}], "stream": streamed}
    request = parse_request("chat", payload)
    try:
        flow = state.pipeline.chat(exchange, request, RoutingOverrides())
        return exchange, world.run(exchange, flow)
    finally:
        exchange.close()


def classifier(label: str, after: float) -> Any:
    def script(_path: str, _body: dict[str, Any]) -> Script:
        return stream(label, first=after)

    return script


def answers(script: Script) -> Any:
    return lambda _path, _body: script


def text_of(items: list[Any]) -> str:
    return b"".join(item for item in items if isinstance(item, bytes)).decode()


def free(state: State) -> bool:
    return all(b.limiter.in_use == 0 and b.limiter.waiting == 0 for b in state.backends.values())


def test_a_speculative_answer_is_handed_out_when_the_route_is_known(tmp_path: Path) -> None:
    """Both are asked at once; the answer that came at 0.3 s goes out at 1 s, with the label."""
    world, state = world_of(tmp_path)
    world.scripts = {
        "router": classifier("MODERATE\n", 1.0),
        "primary": answers(stream("It ", "is.", first=0.3, gap=0.1)),
    }
    exchange, items = ask(world, state)
    assert world.log[:2] == [(0.0, "primary", "asked"), (0.0, "router", "asked")]
    assert isinstance(items[0], Head)
    assert "It " in text_of(items)
    assert text_of(items).endswith("data: [DONE]\n\n")
    assert exchange.record.speculation == "won"
    assert exchange.record.ttft_ms == pytest.approx(1000)
    assert world.now == 1.0
    assert free(state)


def test_an_unwanted_answer_is_closed_at_the_moment_of_the_decision(tmp_path: Path) -> None:
    """COMPLEX: the primary's connection is closed before the cloud is asked."""
    world, state = world_of(tmp_path)
    world.scripts = {
        "router": classifier("COMPLEX\n", 1.2),
        "primary": answers(stream("no", first=0.1, gap=0.5, ends=False)),
        "xai": answers(stream("proof", first=0.4)),
    }
    exchange, items = ask(world, state)
    closed = (1.2, "primary", "closed")
    assert closed in world.log
    assert world.log.index(closed) < world.log.index((1.2, "xai", "asked"))
    assert "proof" in text_of(items)
    assert exchange.record.speculation == "cancelled"
    assert exchange.record.abort_ms == 0
    assert free(state)


def test_a_silent_backend_is_left_for_another_after_its_limit(tmp_path: Path) -> None:
    """12 s while another local backend can answer (`first_byte_failover`), and no longer."""
    world, state = world_of(tmp_path)
    world.scripts = {
        "router": classifier("MODERATE\n", 0.1),
        "primary": answers([]),
        "second": answers(stream("Here.", first=0.2)),
    }
    exchange, items = ask(world, state)
    assert "Here." in text_of(items)
    asked = [entry for entry in world.log if entry[2] == "asked"]
    assert asked[-1][1] == "second"
    assert 12 <= asked[-1][0] < 12.1
    assert [str(attempt) for attempt in exchange.record.attempts] == [
        "primary: upstream_timeout",
        "second: ok",
    ]
    assert state.backends["primary"].breaker.cause == "silent"
    assert free(state)


def test_a_client_that_leaves_ends_everything(tmp_path: Path) -> None:
    """Both calls are closed then and there; nobody's breaker learns of it."""
    world, state = world_of(tmp_path)
    world.scripts = {"router": answers([]), "primary": answers([])}
    world.client_leaves = 0.7
    with pytest.raises(ClientGone):
        ask(world, state)
    assert [(at, name) for at, name, what in world.log if what == "closed"] in (
        [(0.7, "router"), (0.7, "primary")],
        [(0.7, "primary"), (0.7, "router")],
    )
    assert state.backends["primary"].breaker.fails == 0
    assert free(state)


def test_the_last_backend_has_its_own_long_limit(tmp_path: Path) -> None:
    """Without an alternative the first byte is awaited `first_byte_timeout`; keepalives go out
    meanwhile, and the client is told."""
    world, state = world_of(tmp_path, routes={"primary": {"backends": ["primary"]}})
    world.scripts = {"router": classifier("MODERATE\n", 0.1), "primary": answers([])}
    exchange = Exchange(world.clock, client=None, client_ip="", total=3000)
    exchange.keep_alive(10)
    payload = {"messages": [{"role": "user", "content": "What is it?"}], "stream": True}
    seen: list[Any] = []
    flow = state.pipeline.chat(exchange, parse_request("chat", payload), RoutingOverrides())

    def watched() -> Any:
        for item in flow:
            seen.append(item)
            yield item

    with pytest.raises(UpstreamTimeout):
        world.run(exchange, watched())
    exchange.close()
    limit = state.backends["primary"].settings.first_byte_timeout
    assert world.now == pytest.approx(limit, abs=0.01)
    assert sum(isinstance(item, Keepalive) for item in seen) == limit // 10
    assert free(state)


def test_a_search_comes_before_the_answer(tmp_path: Path) -> None:
    """ENRICH: the search's text is in the system text of what the primary is asked."""
    found = {"output": [{"content": [{"type": "output_text", "text": "It rains in Oslo."}]}]}
    asked: list[dict[str, Any]] = []

    def primary(_path: str, body: dict[str, Any]) -> Script:
        asked.append(body)
        return stream("Rain.", first=0.2)

    world, state = world_of(tmp_path, enrichment={"backend": "xai"})
    world.scripts = {
        "router": classifier("ENRICH\n", 0.5),
        "primary": primary,
        "xai": answers(whole(found, after=1.5)),
    }
    exchange, items = ask(world, state)
    assert "Rain." in text_of(items)
    assert exchange.record.enrichment_ms == pytest.approx(1500)
    assert exchange.record.ttft_ms == pytest.approx(2200)
    assert "It rains in Oslo." in asked[-1]["messages"][0]["content"]
    assert free(state)
