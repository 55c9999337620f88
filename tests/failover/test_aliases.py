"""`model:` may name a chain: it starts at the first backend, and the next one takes over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import Stream, all_free, ask, body, error_of, is_whole
from resilience_harness import attempts, served_by

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeChain = Callable[..., RouterProcess]
# The last is the name of a backend's own model, too.
ALIASES = {"vllm-qwen": ["primary", "second", "xai"], "cloud": ["xai"], "primary-model": ["second"]}


@pytest.fixture
def aliased(make_chain: MakeChain) -> RouterProcess:
    return make_chain("primary", "second", "xai", aliases=ALIASES, queue={"hold_wait": 0.3})


def test_a_chain_starts_at_its_first_backend_and_goes_on(
    aliased: RouterProcess, sim: Simulator
) -> None:
    answer = ask(aliased, "Hello", model="vllm-qwen")
    assert (answer.status_code, served_by(answer), attempts(answer)) == (200, "primary", [])
    assert answer.headers["X-Router-Tier"] == "explicit"
    assert "the chain vllm-qwen" in answer.headers["X-Router-Note"]
    sim.refuse("primary")
    stream = Stream(aliased, body("Hello", model="vllm-qwen")).read()
    assert stream.status == 200
    assert is_whole(stream.text)
    assert stream.headers["X-Router-Backend"] == "second"
    assert stream.headers["X-Router-Attempts"].startswith("primary: upstream_unreachable")
    sim.fault("embedding", "error_status", status=500)
    assert served_by(ask(aliased, "Hello", model="vllm-qwen")) == "xai"
    all_free(aliased)


def test_names_that_are_no_aliases_are_as_before(aliased: RouterProcess, sim: Simulator) -> None:
    assert served_by(ask(aliased, "Hello", model="cloud")) == "xai"
    # A backend's own model has no failover, unless an alias has its name.
    assert served_by(ask(aliased, "Hello", model="primary-model")) == "second"
    sim.fault("embedding", "error_status", status=500)
    assert ask(aliased, "Hello", model="embedding-model").status_code == 500
    unknown = ask(aliased, "Hello", model="vllm-qwen-2")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")
    # The header names a route, and takes precedence.
    forced = ask(aliased, "Hello", model="cloud", headers={"X-Router-Route": "primary"})
    assert served_by(forced) == "primary"


def test_they_are_listed_explained_and_counted(aliased: RouterProcess, sim: Simulator) -> None:
    listed = [entry["id"] for entry in aliased.get("/v1/models").json()["data"]]
    assert {"vllm-qwen", "cloud"} <= set(listed)
    assert listed.count("primary-model") == 1
    asked = body("Hello", model="vllm-qwen")
    explained: dict[str, Any] = aliased.post("/api/route", asked).json()
    assert explained["backends"] == ["primary", "second", "xai"]
    assert explained["tier"] == "explicit"
    ask(aliased, "Hello", model="vllm-qwen")
    counted = aliased.metric("airouter_requested_model_total", requested_model="vllm-qwen")
    assert counted == 1
