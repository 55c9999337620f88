"""Metrics that are read from the state of the current configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from records import record

from airouter.settings.backends import Price
from airouter.settings.schema import (
    BackendSettings,
    Logging,
    ProbeSettings,
    RouteSettings,
    Settings,
)
from airouter.upstream.backend import ServerLoad
from app import create_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        Settings(
            backends={
                "gpu0": BackendSettings(
                    kind="vllm", url="http://127.0.0.1:9", model="m", price=Price(input=1.0)
                ),
                "gpu1": BackendSettings(url="http://127.0.0.1:9", model="m"),
            },
            routes={"primary": RouteSettings(backends=("gpu0", "gpu1"))},
            logging=Logging(dir=tmp_path),
            probes=ProbeSettings(enabled=False),
        )
    )
    yield app
    app.extensions["airouter"].close()


@pytest.fixture
def runtime(app: Flask) -> Any:
    return app.extensions["airouter"]


def value(runtime: Any, name: str, **labels: str) -> float | None:
    runtime.metrics.render()
    found: float | None = runtime.metrics.registry.get_sample_value(f"airouter_{name}", labels)
    return found


def test_cooldowns_are_counted(runtime: Any) -> None:
    """Once when a breaker begins to cool, and once when it opens."""
    breaker = runtime.state.backends["gpu0"].breaker
    for _ in range(7):
        breaker.fail("other")
    assert value(runtime, "backend_state", backend="gpu0") == 3
    for state in ("cooling", "open"):
        assert value(runtime, "cooldowns_total", backend="gpu0", state=state) == 1
        assert value(runtime, "cooldowns_total", backend="gpu1", state=state) == 0


def test_decisions_from_caches_are_counted(runtime: Any) -> None:
    cascade = runtime.state.pipeline.cascade
    cascade.flights.shared, cascade.cache.hits = 4, 9
    assert value(runtime, "cache_hits_total", cache="single_flight") == 4
    assert value(runtime, "cache_hits_total", cache="decision") == 9
    cascade.cache = None  # a cascade without this tier
    assert value(runtime, "cache_hits_total", cache="decision") == 9


def test_the_load_that_a_server_states(runtime: Any) -> None:
    """Nothing of a backend that states none; 0 when it no longer does."""
    backend = runtime.state.backends["gpu0"]
    assert value(runtime, "backend_server_running", backend="gpu0") is None
    backend.load = ServerLoad(5.0, 2.0, None)
    assert value(runtime, "backend_server_running", backend="gpu0") == 5
    assert value(runtime, "backend_server_waiting", backend="gpu0") == 2
    assert value(runtime, "backend_server_prefix_cache_hit_ratio", backend="gpu0") is None
    backend.load = ServerLoad(0.0, 0.0, 0.75)
    assert value(runtime, "backend_server_prefix_cache_hit_ratio", backend="gpu0") == 0.75
    backend.load = None
    assert value(runtime, "backend_server_prefix_cache_hit_ratio", backend="gpu0") == 0
    assert value(runtime, "backend_server_running", backend="gpu1") is None


def test_prices_are_those_of_the_configuration(runtime: Any) -> None:
    runtime.metrics.emit(record(backend="gpu0", usage={"prompt_tokens": 500_000}))
    runtime.metrics.emit(record(backend="unknown", usage={"prompt_tokens": 500_000}))
    assert value(runtime, "cost_dollars_total", backend="gpu0") == 0.5
    assert value(runtime, "cost_dollars_total", backend="unknown") is None


def test_a_process_that_stops_adds_its_last_sums(runtime: Any) -> None:
    """Without another reading: the files of a worker outlive it."""
    runtime.metrics.emit(record())
    labels = {"reason": "client_gone", "route": "primary"}
    registry = runtime.metrics.registry
    assert registry.get_sample_value("airouter_request_reasons_total", labels) is None
    runtime.close()
    assert registry.get_sample_value("airouter_request_reasons_total", labels) == 1


def test_5000_names_of_models_are_few_series(app: Flask, runtime: Any) -> None:
    """Whatever clients ask for: a name that is not configured is `other`."""
    client = app.test_client()
    size = len(runtime.metrics.render()[0])
    for number in range(5000):
        asked = {"model": f"model-{number}", "messages": [{"role": "user", "content": "Hi"}]}
        client.post("/v1/chat/completions", json=asked, buffered=True)  # to its end
    assert value(runtime, "requested_model_total", requested_model="other", backend="none") == 5000
    assert b"model-4" not in runtime.metrics.render()[0]
    assert len(runtime.metrics.render()[0]) < size + 20_000
