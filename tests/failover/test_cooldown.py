"""Known-down is known: who pays when a backend dies, who does not, and how it comes back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from harness import ask, eventually
from resilience_harness import CHAIN_MODEL, Running, attempts, backend, served_by, started, status

from simulator.testing import Simulator


def state(router: Any) -> str:
    return str(backend(router)["breaker"])


@pytest.mark.parametrize("fault", ["refuse", "hang"])
def test_only_the_first_request_pays(make_chain, sim: Simulator, fault: str) -> None:
    """The first request after a backend's death finds out; those that follow do not ask it."""
    router = make_chain("primary", "second", "xai", each={"cooldown": 60})
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "primary"
    sim.fault("primary", fault)
    before = started(sim, "primary")
    first = ask(router, "Hello", stream=True, **CHAIN_MODEL)
    assert served_by(first) == "second"
    assert len(attempts(first)) == 2
    asked = started(sim, "primary")
    assert asked - before == (0 if fault == "refuse" else 1)
    for _ in range(5):
        answer = ask(router, "Hello", **CHAIN_MODEL)
        assert (served_by(answer), attempts(answer)) == ("second", [])
    assert started(sim, "primary") == asked
    assert started(sim, "xai") == 0
    assert router.get("/health/readiness").status_code == 200


def test_a_silent_whole_answer_counts_as_silence(make_chain, sim: Simulator) -> None:
    """An answer that is not streamed has no first byte before its last: at its total limit without
    one the backend cools."""
    router = make_chain("primary", "second", each={"cooldown": 60})
    sim.fault("primary", "hang")
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "second"
    assert (state(router), backend(router)["cause"]) == ("cooling", "silent")


def test_other_failures_are_allowed_once(make_chain, sim: Simulator) -> None:
    """allowed_fails 1: the second failure in a row cools, and counts once a request however often
    it was tried."""
    router = make_chain("primary", "second", each={"cooldown": 60})
    sim.fault("primary", "error_status", status=500)
    ask(router, "Hello", **CHAIN_MODEL)
    assert (state(router), backend(router)["fails"], started(sim, "primary")) == ("closed", 1, 2)
    ask(router, "Hello", **CHAIN_MODEL)
    assert (state(router), backend(router)["fails"]) == ("cooling", 2)


def test_it_comes_back_by_exactly_one_probe(make_chain, sim: Simulator) -> None:
    """After the cooldown one request tries the backend while the others go elsewhere; then all go
    to it again."""
    router = make_chain("primary", "second", each={"cooldown": 0.7, "first_byte_timeout": 5})
    sim.refuse("primary")
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "second"
    sim.accept("primary")
    sim.configure("primary", ttft_ms=1200)
    eventually(lambda: state(router) == "half_open")
    many = Running(lambda: ask(router, "Hello", stream=True, **CHAIN_MODEL), 8)
    eventually(lambda: many.done >= 7)
    assert started(sim, "primary") == 1
    assert sorted(served_by(answer) for answer in many.all()) == ["primary"] + ["second"] * 7
    sim.configure("primary", ttft_ms=0)
    for _ in range(3):
        assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "primary"
    assert state(router) == "closed"


def test_a_probe_whose_client_leaves_gives_its_place_up(make_chain, sim: Simulator) -> None:
    """A half-open request that is abandoned says nothing, and the next one may try."""
    router = make_chain("primary", "second", each={"cooldown": 0.3, "first_byte_timeout": 20})
    sim.refuse("primary")
    ask(router, "Hello", **CHAIN_MODEL)
    sim.accept("primary")
    eventually(lambda: state(router) == "half_open")
    sim.fault("primary", "hang")
    for _ in range(2):
        answer = ask(router, "Hello", headers={"X-Router-Timeout": "0.3"}, **CHAIN_MODEL)
        assert answer.status_code == 504
        assert state(router) == "half_open"
    sim.clear_faults()
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "primary"
    assert state(router) == "closed"


def test_a_background_probe_ends_it_after_a_refused_connection(make_chain, sim: Simulator) -> None:
    """Nothing listened, now something does: a free health check notices, long before the cooldown's
    end, and no request has to."""
    router = make_chain(
        "primary", "second", each={"cooldown": 300}, probes={"enabled": True, "interval": 0.3}
    )
    sim.refuse("primary")
    ask(router, "Hello", **CHAIN_MODEL)
    assert (state(router), backend(router)["cause"]) == ("cooling", "connect")
    before = started(sim, "primary")
    sim.accept("primary")
    eventually(lambda: state(router) == "closed")
    assert started(sim, "primary") == before
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "primary"


def test_a_background_probe_finds_out_first(make_chain, sim: Simulator) -> None:
    """A backend that dies while idle is detected before the next request."""
    router = make_chain(
        "primary", "second", each={"cooldown": 300}, probes={"enabled": True, "interval": 0.3}
    )
    ask(router, "Hello", **CHAIN_MODEL)
    sim.refuse("primary")
    eventually(lambda: state(router) == "cooling")
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert (served_by(answer), attempts(answer)) == ("second", [])


def test_a_hung_backend_is_tried_by_a_request_not_by_a_probe(make_chain, sim: Simulator) -> None:
    """A server that hangs still answers its health check: passing ones do not end the cooldown, the
    half-open request does."""
    router = make_chain(
        "primary", "second", each={"cooldown": 1.5}, probes={"enabled": True, "interval": 0.2}
    )
    sim.fault("primary", "hang")
    ask(router, "Hello", stream=True, **CHAIN_MODEL)
    probes = sim.stats("primary")["by_path"]["/health"]
    time.sleep(0.9)
    assert sim.stats("primary")["by_path"]["/health"] > probes
    assert (state(router), backend(router)["cause"]) == ("cooling", "silent")
    eventually(lambda: state(router) == "half_open")
    assert served_by(ask(router, "Hello", stream=True, **CHAIN_MODEL)) == "second"
    assert state(router) == "cooling"
    sim.clear_faults()
    eventually(lambda: state(router) == "half_open")
    assert served_by(ask(router, "Hello", stream=True, **CHAIN_MODEL)) == "primary"


def test_open_answers_at_once(make_chain, sim: Simulator) -> None:
    """Five failures in a row open the breaker: then 503 with Retry-After, and the backend is left
    alone."""
    router = make_chain("primary")
    sim.fault("primary", "error_status", status=502)
    for _ in range(5):
        assert ask(router, "Hello", **CHAIN_MODEL).status_code == 502
    assert state(router) == "open"
    before = started(sim, "primary")
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")
    assert 50 <= int(answer.headers["Retry-After"]) <= 60
    assert started(sim, "primary") == before
    assert router.get("/health/readiness").status_code == 503
    assert 'airouter_backend_state{backend="primary"} 3.0' in router.get("/metrics").text


def test_a_cooling_backend_is_better_than_none(make_chain, sim: Simulator) -> None:
    """A cooling backend is used if no other can answer."""
    router = make_chain("primary", each={"cooldown": 300})
    sim.fault("primary", "reset")
    for _ in range(2):
        ask(router, "Hello", **CHAIN_MODEL)
    assert state(router) == "cooling"
    sim.clear_faults()
    assert ask(router, "Hello", **CHAIN_MODEL).status_code == 200
    assert state(router) == "closed"


def test_the_classifier_is_known_to_be_down_too(make_router, sim: Simulator) -> None:
    """A classifier that hangs costs one request its limit; the following ones go to the default
    route without waiting for it."""
    config = {
        "backends": {"router": {"model": "embedding-model"}, "primary": {"model": "primary-model"}},
        "cascade": {"tiers": ["reasoning"], "reasoning": {"timeout": 0.6}},
        "probes": {"enabled": False},
    }
    urls = {"router": sim.url("embedding"), "primary": sim.url("primary")}
    router = make_router(config=config, backends=(), urls=urls, warm=False)
    sim.fault("embedding", "hang")
    assert ask(router, "Hello").status_code == 200
    assert status(router)["backends"]["router"]["breaker"] == "cooling"
    for _ in range(3):
        assert ask(router, "Hello").status_code == 200
    assert started(sim, "embedding") == 1
