"""Swapping and loading a model are states: requests wait or go elsewhere; no failure is counted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from harness import Stream, ask, body, is_whole
from resilience_harness import CHAIN_MODEL, Running, admin, backend, served_by, started, well

from simulator.testing import Simulator


def swap(router: Any, what: str, **fields: Any) -> None:
    answer = admin(
        router, "events", {"event": f"model.swap.{what}", "backend": "primary", **fields}
    )
    assert answer.status_code == 200, answer.text


def unharmed(router: Any) -> None:
    told = backend(router)
    assert (told["breaker"], told["fails"], told["pause"]) == ("closed", 0, None)


def test_a_swap_holds_requests_until_it_is_completed(make_chain, sim: Simulator) -> None:
    """Between initiated and completed nothing reaches the backend; then everything that waited is
    answered."""
    router = make_chain("primary", timeouts={"keepalive_after": 0.2})
    swap(router, "initiated")
    assert backend(router)["pause"] == "model swap"
    many = Running(lambda: ask(router, "Hello", **CHAIN_MODEL), 4)
    stream = Running(lambda: Stream(router, body("Hello", **CHAIN_MODEL)).read())
    time.sleep(1)
    assert (started(sim, "primary"), many.done) == (0, 0)
    swap(router, "completed")
    for answer in many.all():
        well(answer)
    told = stream.one()
    assert is_whole(told.text)
    assert told.comments
    unharmed(router)


def test_a_swap_ends_by_itself(make_chain, sim: Simulator) -> None:
    """When `completed` never comes the pause is over at the time that was expected."""
    router = make_chain("primary")
    swap(router, "initiated", expected_s=1)
    began = time.monotonic()
    well(ask(router, "Hello", **CHAIN_MODEL))
    assert 0.5 < time.monotonic() - began < 6
    unharmed(router)


def test_holding_is_bounded(make_chain, sim: Simulator) -> None:
    """No request is held longer than hold_wait: then the backend is asked, swapping or not."""
    router = make_chain("primary", queue={"hold_wait": 0.6})
    swap(router, "initiated", expected_s=600)
    began = time.monotonic()
    well(ask(router, "Hello", **CHAIN_MODEL))
    assert 0.5 < time.monotonic() - began < 5


def test_others_answer_meanwhile(make_chain, sim: Simulator) -> None:
    """Another local backend takes over during a swap; a cloud does not, for nothing has failed."""
    router = make_chain("primary", "second", "xai")
    swap(router, "initiated")
    for _ in range(3):
        assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "second"
    assert (
        admin(router, "events", {"event": "model.swap.initiated", "backend": "second"}).status_code
        == 200
    )
    held = Running(lambda: ask(router, "Hello", **CHAIN_MODEL))
    time.sleep(0.7)
    assert (held.done, started(sim, "xai")) == (0, 0)
    swap(router, "completed")
    assert served_by(held.one()) == "primary"
    unharmed(router)


def test_a_loading_server_holds_requests(make_chain, sim: Simulator) -> None:
    """vLLM's 503 while it loads its model is waited for; the answer comes as soon as it is
    healthy."""
    router = make_chain("primary", probes={"enabled": True, "interval": 0.3})
    sim.fault("primary", "loading")
    many = Running(lambda: ask(router, "Hello", **CHAIN_MODEL), 3)
    time.sleep(1.2)
    assert many.done == 0
    assert backend(router)["pause"] == "loading"
    sim.clear_faults()
    for answer in many.all():
        well(answer)
    unharmed(router)


def test_a_loading_server_is_passed_over_for_a_local_one_but_not_for_the_cloud(
    make_chain, sim: Simulator
) -> None:
    """Loading is not failing: while it lasts, and no longer than hold_wait, the cloud is not
    called."""
    router = make_chain("primary", "second", "xai", queue={"hold_wait": 1.2})
    sim.fault("primary", "loading")
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "second"
    assert admin(router, "events", {"event": "backend.out", "backend": "second"}).status_code == 200
    held = Running(lambda: ask(router, "Hello", **CHAIN_MODEL))
    time.sleep(0.6)
    assert (held.done, started(sim, "xai")) == (0, 0)
    assert served_by(held.one()) == "xai"
    assert backend(router)["breaker"] == "closed"


def test_loading_for_ever_is_told(make_chain, sim: Simulator) -> None:
    """Without another backend, the client gets the 503 after hold_wait, with Retry-After, and the
    breaker stays closed."""
    router = make_chain("primary", queue={"hold_wait": 0.5})
    sim.fault("primary", "loading")
    began = time.monotonic()
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert time.monotonic() - began < 6
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert (backend(router)["breaker"], backend(router)["fails"]) == ("closed", 0)


def test_another_model_after_a_swap(make_chain, sim: Simulator) -> None:
    """Where the model's name is not configured, the new one is asked for after the swap."""
    router = make_chain("primary", backends={"primary": {"model": None}})
    assert ask(router, "Hello", **CHAIN_MODEL).json()["model"] == "primary-model"
    swap(router, "initiated")
    sim.configure("primary", model="another-model")
    swap(router, "completed")
    assert ask(router, "Hello", **CHAIN_MODEL).json()["model"] == "another-model"


def test_out_and_in(make_chain, sim: Simulator) -> None:
    """A backend that was taken out is not asked, whatever its health; brought back it is, at
    once."""
    router = make_chain("primary", "second")
    assert (
        admin(router, "events", {"event": "backend.out", "backend": "primary"}).status_code == 200
    )
    assert backend(router)["out"] is True
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "second"
    assert (
        admin(router, "events", {"event": "backend.in", "model": "primary-model"}).status_code
        == 200
    )
    assert served_by(ask(router, "Hello", **CHAIN_MODEL)) == "primary"


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({}, "event"),
        ({"event": "model.swap.started", "backend": "primary"}, "event"),
        ({"event": ["model.swap.initiated"], "backend": "primary"}, "event"),
        ({"event": "model.swap.initiated"}, "backend"),
        ({"event": "model.swap.initiated", "backend": "nobody"}, "backend"),
        ({"event": "model.swap.initiated", "backend": "primary", "expected_s": 0}, "expected_s"),
        (
            {"event": "model.swap.initiated", "backend": "primary", "expected_s": "soon"},
            "expected_s",
        ),
        ({"event": "model.swap.initiated", "backend": "primary", "expected_s": True}, "expected_s"),
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(chained, event: dict[str, Any], param: str) -> None:
    """400 with the parameter's name, and nothing is paused."""
    answer = admin(chained, "events", event)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    unharmed(chained)
