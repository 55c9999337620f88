"""Free probes: how a backend's health is asked for, and what a passing or refused one means."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from harness import REFUSED
from making import make_backend

from airouter.domain.clock import Clock
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend, model_names, window_of
from airouter.upstream.health import HealthChecker, ask_all
from simulator.testing import Simulator

CLOCK = Clock()


@pytest.fixture(scope="module")
def own_simulator() -> Iterator[Simulator]:
    with Simulator(roles=("primary", "ollama")) as simulator:
        yield simulator


@pytest.fixture
def server(own_simulator: Simulator) -> Simulator:
    own_simulator.reset()
    return own_simulator


def backend(url: str, kind: str = "vllm", **fields: object) -> Backend:
    spec = BackendSettings(kind=kind, url=url, **fields)  # type: ignore[arg-type]
    return make_backend("b", spec, CLOCK)


def test_it_costs_nothing(server: Simulator) -> None:
    """vLLM is asked for /health, others for /v1/models; no backend generates a token."""
    backends = {
        "a": backend(server.url("primary"), model="m"),
        "b": backend(server.url("ollama"), "ollama"),
    }
    told = ask_all(backends, CLOCK, 2)
    assert all(health.healthy for health in told.values())
    assert (server.stats("primary")["by_path"], server.stats("ollama")["by_path"]) == (
        {"/health": 1},
        {"/v1/models": 1},
    )
    assert server.stats("primary")["started"] + server.stats("ollama")["started"] == 0


def test_models_are_learnt_on_the_way(server: Simulator) -> None:
    """A backend whose model is not known is asked for its models, and for its health from then
    on."""
    one = backend(server.url("primary"))
    ask_all({"a": one}, CLOCK, 2)
    assert one.model == "primary-model"
    ask_all({"a": one}, CLOCK, 2)
    assert server.stats("primary")["by_path"] == {"/v1/models": 1, "/health": 1}


def test_a_swapped_model_is_learnt_anew(server: Simulator) -> None:
    """After `relearn` the old name holds until the new one was read; a configured name is never
    replaced."""
    one, named = backend(server.url("primary")), backend(server.url("primary"), model="mine")
    ask_all({"a": one, "b": named}, CLOCK, 2)
    server.configure("primary", model="another-model")
    for each in (one, named):
        each.relearn()
    assert one.model == "primary-model"
    ask_all({"a": one, "b": named}, CLOCK, 2)
    assert (one.model, named.model) == ("another-model", "mine")


def test_refused_and_slow_are_told_apart(server: Simulator) -> None:
    """Nothing listening is known for certain; no answer in time is not the same."""
    server.fault("primary", "hang", path="*")
    told = ask_all(
        {"dead": backend(REFUSED, model="m"), "slow": backend(server.url("primary"), model="m")},
        CLOCK,
        0.3,
    )
    assert [(told[name].healthy, told[name].refused) for name in ("dead", "slow")] == [
        (False, True),
        (False, False),
    ]


def test_a_loading_server_is_not_healthy(server: Simulator) -> None:
    """503 on /health is said as such."""
    server.fault("primary", "loading")
    (health,) = ask_all({"a": backend(server.url("primary"), model="m")}, CLOCK, 2).values()
    assert (health.healthy, health.refused, health.problem) == (False, False, "status 503")


def test_one_limit_for_all_however_they_trickle(server: Simulator) -> None:
    """Backends that hang or trickle cost one limit together, and simultaneous callers share the
    asking."""
    server.fault("primary", "hang_headers", path="*", interval_ms=50)
    checker = HealthChecker(
        {str(i): backend(server.url("primary"), model="m") for i in range(4)}, CLOCK, 0.5
    )
    began = time.monotonic()
    results: list[dict[str, object]] = []
    callers = [
        threading.Thread(target=lambda: results.append(dict(checker.check()))) for _ in range(5)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert 0.4 < time.monotonic() - began < 3
    assert len(results) == 5
    assert all(len(told) == 4 for told in results)
    assert server.stats("primary")["by_path"]["/health"] == 4


@pytest.mark.parametrize(
    ("kind", "configured", "window"),
    [("vllm", {}, 2048), ("vllm", {"context_window": 512}, 512), ("ollama", {}, None)],
)
def test_the_context_window_is_read_once(
    server: Simulator, kind: str, configured: dict[str, int], window: int | None
) -> None:
    """From the list of models, once it is up; a configured one is kept, and a list that says
    nothing is an answer."""
    role = "primary" if kind == "vllm" else "ollama"
    server.configure("primary", max_model_len=2048)
    one = backend(server.url(role), kind, model=server_model(role), **configured)
    for _ in range(4):
        ask_all({"a": one}, CLOCK, 2)
    assert (one.context_window, one.unread) == (window, False)
    asked = server.stats(role)["by_path"].get("/v1/models", 0)
    assert asked == {"vllm": int(not configured), "ollama": 4}[kind]


def server_model(role: str) -> str:
    return {"primary": "primary-model", "ollama": "llama3.2:3b"}[role]


def test_the_window_is_read_again_after_a_swap(server: Simulator) -> None:
    server.configure("primary", max_model_len=2048)
    one = backend(server.url("primary"))
    ask_all({"a": one}, CLOCK, 2)
    assert one.context_window == 2048
    server.configure("primary", max_model_len=4096)
    one.relearn()
    ask_all({"a": one}, CLOCK, 2)
    assert one.context_window == 4096


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"max_model_len": 4096}, 4096),
        ({"context_length": 131_072}, 131_072),
        ({"context_window": 8192}, 8192),
        ({"max_model_len": None, "context_length": 5}, 5),
        ({"max_model_len": "4096"}, None),
        ({"max_model_len": True}, None),
        ({"max_model_len": 0}, None),
        ({}, None),
    ],
)
def test_where_a_window_is_stated(entry: dict[str, object], window: int | None) -> None:
    models = {"data": [{"id": "other", "max_model_len": 7}, {"id": "m", **entry}]}
    assert window_of(json.dumps(models).encode(), "m") == window


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"data": 5}', b'{"data": [5, {"id": 5}]}'])
def test_what_is_no_list_of_models(body: bytes) -> None:
    assert window_of(body, "m") is None
    assert model_names(body) == []
