"""A finished answer does not wait for a slow classifier: when it is sent, what decides instead, and
what happens to the classifier's call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import Stream, all_free, ask, body, content, eventually, is_whole, session_file, steer
from resilience_harness import Running, backend

from airouter.classify.cascade import Cascade, PatienceMeter
from airouter.domain.clock import Clock
from airouter.domain.types import Features, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator
from tests.classify.make import exchange, features, finish, waiting

MakeRouter = Callable[..., RouterProcess]

BRIEF: dict[str, Any] = {"cascade": {"patience": 0.5}}
SLOW = {"label": "COMPLEX", "ttft_ms": 8000}  # within the classifier's own limit of 10 s


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_answer_is_released_and_says_why(
    make_router: MakeRouter, sim: Simulator, stream: bool
) -> None:
    """The primary's answer is sent, and the classifier's call is cancelled without counting as a
    failure; tier, note and counter show it."""
    router = make_router(BRIEF)
    started = time.monotonic()
    if stream:
        answer = Stream(router, body(steer("What is it?", router=SLOW))).read()
        headers, text = answer.headers, answer.text
    else:
        reply = ask(router, steer("What is it?", router=SLOW))
        headers, text = reply.headers, content(reply)
    assert 0.5 <= time.monotonic() - started < 5
    assert is_whole(text)
    assert headers["X-Router-Tier"] == "patience"
    assert headers["X-Router-Route"] == "primary"
    assert headers["X-Router-Speculative"] == "won"
    assert "cascade.patience (0.5 s)" in headers["X-Router-Note"]
    assert sim.wait_for("router", aborted=1)["finished"] == 0
    assert sim.stats("primary")["started"] == 1
    told = backend(router, "router")
    assert (told["breaker"], told["fails"]) == ("closed", 0)
    saved = session_file(router, headers["X-Router-Session"])
    assert saved["tier"] == "patience"
    assert saved["verdicts"][-1]["tier"] == "reasoning"
    assert saved["verdicts"][-1]["finish_reason"] == "patience"
    assert any("cascade.patience" in note for note in saved["notes"])
    eventually(lambda: router.metric("airouter_patience_expired_total") == 1)
    assert any("UNCLEAR -> primary" in line and "tier=patience" in line for line in router.log())
    all_free(router)


def test_by_default_it_is_held_for_three_seconds(router: RouterProcess, sim: Simulator) -> None:
    """Unless the classifier is known to be slow."""
    started = time.monotonic()
    answer = ask(router, steer("What is it?", router=SLOW))
    assert answer.headers["X-Router-Tier"] == "patience"
    assert 3 <= time.monotonic() - started < 7


def test_an_answer_that_comes_after_the_patience_is_not_held_at_all(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """It is sent as soon as it is complete; until then, the classifier may take its time."""
    router = make_router(BRIEF)
    text = steer("What is it?", router=SLOW, primary={"ttft_ms": 1500})
    for ready in (lambda: ask(router, text), lambda: Stream(router, body(text)).read()):
        started = time.monotonic()
        assert ready().headers["X-Router-Tier"] == "patience"
        assert 1.5 <= time.monotonic() - started < 5


@pytest.mark.parametrize(
    "primary",
    [{"ttft_ms": 6000}, {"fault": {"name": "error_status", "status": 500}}, {"fault": "html"}],
    ids=str,
)
def test_without_a_finished_answer_the_classifier_has_its_time(
    make_router: MakeRouter, sim: Simulator, primary: dict[str, Any]
) -> None:
    """An answer that is incomplete or has failed does not cut the classification short."""
    router = make_router(BRIEF)
    slower = {"label": "COMPLEX", "ttft_ms": 1500}
    for stream in (False, True):
        answer = ask(router, steer("Prove it", router=slower, primary=primary), stream=stream)
        assert answer.headers["X-Router-Tier"] == "reasoning"
        assert answer.headers["X-Router-Route"] == "xai"


def test_without_a_speculation_nothing_is_given_up(make_router: MakeRouter, sim: Simulator) -> None:
    """No answer is waiting."""
    router = make_router(merged(BRIEF, {"speculation": {"enabled": False}}))
    answer = ask(router, steer("Prove it", router={"label": "COMPLEX", "ttft_ms": 1500}))
    assert answer.headers["X-Router-Tier"] == "reasoning"
    assert router.metric("airouter_patience_expired_total") == 0


def test_equal_asks_at_once_are_all_released_and_nothing_is_remembered(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """Requests that wait for an equal one have the same patience; a cancelled classification is not
    cached, so the next request is classified."""
    router = make_router(merged(BRIEF, {"cascade": {"tiers": ["rules", "cache", "reasoning"]}}))
    text = steer("What is it?", router=SLOW)
    started = time.monotonic()
    answers = Running(lambda: ask(router, text), 5).all()
    assert time.monotonic() - started < 6
    assert {answer.headers["X-Router-Tier"] for answer in answers} == {"patience"}
    assert all(is_whole(content(answer)) for answer in answers)
    all_free(router)
    asked_before = sim.stats("router")["started"]
    assert sim.wait_for("router", aborted=asked_before)["finished"] == 0
    assert ask(router, text).headers["X-Router-Tier"] == "patience"
    assert sim.stats("router")["started"] == asked_before + 1


# In the cascade -----------------------------------------------------------------------------------


class Guesses:
    """An instant tier whose best guess is COMPLEX."""

    name = "learned"
    instant = True

    def __init__(self, p: float) -> None:
        self._p = p

    def vote(self, features: Features) -> Verdict:
        return Verdict(self.name, None, p=self._p, guess="COMPLEX")


class Hangs:
    """A calling tier that never returns."""

    name = "reasoning"
    instant = False

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        self.asked += 1
        while True:
            yield from waiting(exchange)


@pytest.mark.parametrize(("p", "label"), [(0.95, "COMPLEX"), (0.5, "MODERATE")])
def test_the_best_guess_decides_if_it_is_probable_enough(p: float, label: str) -> None:
    """Otherwise the primary; as when the last tier is unavailable."""
    clock = Clock()
    tier = Hangs()
    cascade = Cascade([Guesses(p), tier], clock, fallback_min_p=0.9, patience=0.05)
    deliberation = cascade.deliberate(features("What is it?"))
    with exchange() as held:
        finish(held, deliberation.run(held, lambda: True))
        assert held.patience is None  # later waits of the same exchange are not cut short
    decision = deliberation.decision
    assert decision is not None
    assert (decision.label, decision.tier) == (label, "patience")
    assert decision.ms >= 50
    assert tier.asked == 1
    assert cascade.patience.seconds == 0.05


def test_the_patience_follows_the_classifier() -> None:
    """3 s at first, then twice the 95th percentile of the slower tier; a single slow call does not
    matter."""
    meter = PatienceMeter()
    meter.observe("reasoning", 30)
    assert meter.seconds == 3
    for _ in range(19):
        meter.observe("reasoning", 1)
    assert meter.seconds == 3  # twice 1 s is less
    for _ in range(200):
        meter.observe("one_token", 0.02)
    for _ in range(20):
        meter.observe("reasoning", 4)
    assert meter.seconds == 8
    for _ in range(200):
        meter.observe("reasoning", 1)
    assert meter.seconds == 3
    fixed = PatienceMeter(0.2)
    for _ in range(50):
        fixed.observe("reasoning", 4)
    assert fixed.seconds == 0.2
