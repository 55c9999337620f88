"""The one-token tier's canary: when one is sent, what it shows, and that no client waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from doubles import FakeClock
from harness import body, eventually
from resilience_harness import admin, backend

from airouter.runtime.canaries import send
from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator
from tests.classify.one_token import ONE_TOKEN, canaries, constrained, decides, make_tier, tier_of

MakeRouter = Callable[..., RouterProcess]

PAID = {"local": False, "api_key": "test-key"}
QUICK: dict[str, Any] = merged(ONE_TOKEN, {"probes": {"interval": 0.3, "idle_factor": 1}})


def reason(router: RouterProcess) -> str:
    """What the tier says of a request."""
    told = router.post("/api/route", body("What is it?")).json()
    return str(next(v["reason"] for v in told["verdicts"] if v["tier"] == "one_token"))


def lines(router: RouterProcess, what: str) -> int:
    return sum(f"The one-token tier is {what}: backend router" in line for line in router.log())


def test_a_canary_warms_the_server_before_any_client_asks(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """It goes out once when the router starts; while it takes its time the tier abstains at once,
    and asks nothing."""
    sim.configure("router", first_constrained_ms=8000)
    router = make_router(ONE_TOKEN, warm=False)
    eventually(lambda: canaries(sim) == 1, why="no canary")
    started = time.monotonic()
    assert tier_of(router) == "fallback"
    assert "warming up" in reason(router)
    assert time.monotonic() - started < 7
    assert len(constrained(sim)) == 1
    decides(router)
    told = backend(router, "router")
    assert (told["breaker"], told["fails"], told["in_use"]) == ("closed", 0, 0)
    assert canaries(sim) == 1
    eventually(lambda: lines(router, "on") == 1)
    assert lines(router, "off") == 0


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_ask_that_is_refused_abstains_and_no_more(
    make_router: MakeRouter, sim: Simulator, status: int
) -> None:
    """Too long for the classifier's window, say: however often, the tier stays on and the
    classifier in good health."""
    router = make_router(ONE_TOKEN)
    decides(router)
    sim.fault("router", "error_status", status=status, times=6)
    assert [tier_of(router) for _ in range(6)] == ["fallback"] * 6
    assert tier_of(router) == "one_token"
    assert backend(router, "router")["breaker"] == "closed"
    assert canaries(sim) == 1
    assert lines(router, "off") == 0


def test_it_is_off_where_the_server_cannot_be_constrained_until_it_is_started_anew(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """The canary finds out: no client's request is spent on it, one line says so, and the next
    start is a new chance."""
    sim.fault("router", "error_status", status=400)
    router = make_router(QUICK)
    eventually(lambda: lines(router, "off") == 1, why="it is not off")
    assert tier_of(router) == "fallback"
    assert "cannot constrain" in reason(router)
    assert len(constrained(sim)) == 1
    restart(router, sim)  # still not: no second line
    eventually(lambda: canaries(sim) == 2, why="no canary after the restart")
    sim.clear_faults()
    assert tier_of(router) == "fallback"
    restart(router, sim)
    decides(router)
    eventually(lambda: (lines(router, "off"), lines(router, "on")) == (1, 1))
    assert canaries(sim) == 3


def restart(router: RouterProcess, sim: Simulator) -> None:
    """The classifier's server goes away and comes back, and the router has seen both."""
    sim.refuse("router")
    eventually(lambda: backend(router, "router")["breaker"] == "cooling", why="not seen down")
    sim.accept("router")
    eventually(lambda: backend(router, "router")["breaker"] == "closed", why="not seen up")


def test_a_server_that_was_started_anew_is_warmed_anew(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """After it was down, after a model swap, and after it was taken out of service and brought
    back."""
    router = make_router(QUICK)
    decides(router)
    assert canaries(sim) == 1
    sim.configure("router", first_constrained_ms=3000)
    restart(router, sim)
    assert tier_of(router) == "fallback"
    assert "warming up" in reason(router)
    decides(router)
    assert canaries(sim) == 2
    admin(router, "events", {"event": "model.swap.completed", "backend": "router"})
    eventually(lambda: canaries(sim) == 3, why="no canary after a swap")
    admin(router, "events", {"event": "backend.out", "backend": "router"})
    admin(router, "events", {"event": "backend.in", "backend": "router"})
    eventually(lambda: canaries(sim) == 4, why="no canary after it came back")
    decides(router)
    assert lines(router, "off") == 0


def test_a_canary_without_an_end_is_stopped_with_the_router_or_its_configuration(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """It holds one slot and nothing else, and its connection is closed at a reload and at the
    end."""
    sim.fault("router", "hang")
    router = make_router(ONE_TOKEN, warm=False)
    eventually(lambda: canaries(sim) == 1, why="no canary")
    eventually(lambda: backend(router, "router")["in_use"] == 1)
    assert tier_of(router) == "fallback"
    admin(router, "reload")
    sim.wait_for("router", aborted=1)
    eventually(lambda: canaries(sim) == 2, why="the new configuration sends none")
    assert backend(router, "router")["in_use"] == 1
    stopping = time.monotonic()
    router.stop()
    assert time.monotonic() - stopping < 8
    sim.wait_for("router", aborted=2)


def test_no_canary_is_sent_where_none_is_wanted(make_router: MakeRouter, sim: Simulator) -> None:
    """Not where the tier is not configured; and not to a backend that may cost money, where the
    first ask is the test."""
    other = make_router({"cascade": {"tiers": ["rules", "reasoning"]}})
    cloud = make_router(merged(ONE_TOKEN, {"backends": {"router": PAID}}))
    assert tier_of(other) == "reasoning"
    time.sleep(1.2)  # two looks of the housekeeper
    assert constrained(sim) == []
    sim.fault("router", "error_status", status=400, times=1)
    assert tier_of(cloud) == "fallback"
    assert tier_of(cloud) == "one_token"
    assert canaries(sim) == 0
    assert lines(cloud, "off") == 0


def test_a_server_that_cannot_is_tried_again_after_some_minutes(sim: Simulator) -> None:
    """Not before; and then with one canary, which switches the tier on."""
    clock = FakeClock()
    tier, _server = make_tier(sim, clock)
    sim.fault("router", "error_status", status=422, times=1)
    send(tier, clock)
    assert not tier.canary_due()
    clock.move(299)
    assert not tier.canary_due()
    clock.move(2)
    assert tier.canary_due()
    send(tier, clock)
    assert not tier.canary_due()
    clock.move(100_000)
    assert not tier.canary_due()
    assert canaries(sim) == 2


def test_a_canary_without_an_answer_is_repeated_less_and_less_often(sim: Simulator) -> None:
    """A 503 tells nothing about constraints: 5 s, then twice as long, at most 5 minutes."""
    clock = FakeClock()
    tier, server = make_tier(sim, clock)
    sim.fault("router", "error_status", status=503)
    waits = []
    for _ in range(9):
        send(tier, clock)
        waited = 0
        while not tier.canary_due():
            clock.move(1)
            waited += 1
        waits.append(waited)
    assert waits[:3] == [5, 10, 20]
    assert waits[-1] == 300
    assert server.breaker.state == "closed"
    assert server.limiter.in_use == 0


def test_a_canary_waits_for_a_backend_that_may_be_asked(sim: Simulator) -> None:
    """Not while it is out of service, paused, cooling or without a free slot."""
    clock = FakeClock()
    tier, server = make_tier(sim, clock, slots=1)
    assert tier.canary_due()
    server.out = True
    assert not tier.canary_due()
    server.out = False
    server.pause.begin("model swap", 60)
    assert not tier.canary_due()
    server.pause.end()
    slot = server.limiter.try_acquire()
    assert slot is not None
    assert not tier.canary_due()
    slot.release()
    server.breaker.probe_refused()
    assert not tier.canary_due()
    server.breaker.probe_passed()
    assert tier.canary_due()
