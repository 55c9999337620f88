"""The primary's answer is started while the route is decided: what that saves, what it may not do,
and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from harness import (
    META,
    Stream,
    Wire,
    all_free,
    ask,
    asked,
    body,
    content,
    counted,
    eventually,
    is_whole,
    session_file,
    steer,
)
from resilience_harness import Running
from scripted_backend import Flood, ScriptedBackend

from bench.router_process import RouterProcess
from simulator.testing import Simulator

SLOW_PRIMARY = {"ttft_ms": 20_000}
THINK = {"ttft_ms": 500}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("early_headers", [False, True])
def test_an_unwanted_speculation_is_stopped_at_once(
    router: RouterProcess, sim: Simulator, stream: bool, early_headers: bool
) -> None:
    """COMPLEX does not wait for the primary: its call is shut down when the route is known, before
    or after headers."""
    sim.configure("primary", early_headers=early_headers)
    text = steer(
        "Prove it", router={"label": "COMPLEX", **THINK}, primary=SLOW_PRIMARY, xai={"ttft_ms": 200}
    )
    with counted(router, 1):
        if stream:
            answer = Stream(router, body(text)).read()
            session, whole, how = (
                answer.headers["X-Router-Session"],
                answer.text,
                answer.headers["X-Router-Speculative"],
            )
        else:
            reply = ask(router, text)
            session, whole, how = (
                reply.headers["X-Router-Session"],
                content(reply),
                reply.headers["X-Router-Speculative"],
            )
    assert is_whole(whole)
    assert how == "cancelled"
    aborted = sim.wait_for("primary", aborted=1)
    decided_at = sim.stats("xai")["requests"][-1]["at"]  # the cloud is asked by then
    assert aborted["aborts"][0]["at"] - decided_at < 5
    assert (aborted["started"], aborted["finished"]) == (1, 0)
    told = session_file(router, session)
    assert told["speculation"] == "cancelled"
    assert 0 <= told["abort_ms"] < 5000
    assert [step["step"] for step in told["steps"]] == ["speculation", "provider_call"]
    assert any("Cancelled speculative primary (route=xai)" in line for line in router.log())
    all_free(router)


def test_enrich_cancels_the_speculation_too(router: RouterProcess, sim: Simulator) -> None:
    """ENRICH needs its context first: the speculative answer is stopped before the search has
    ended."""
    text = steer(
        "The news?", router={"label": "ENRICH"}, primary=SLOW_PRIMARY, xai={"search_ms": 600}
    )
    with Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text))
        sim.wait_for("primary", aborted=1)
        assert sim.stats("xai")["running"] == 1
    all_free(router)


@pytest.mark.parametrize("stream", [False, True])
def test_a_wanted_speculation_costs_no_second_call(
    router: RouterProcess, sim: Simulator, stream: bool
) -> None:
    """A confirmed speculation is the answer: it began before the decision, and nothing is asked
    again."""
    text = steer(
        "What is it?", router={"label": "MODERATE", "ttft_ms": 1900}, primary={"ttft_ms": 2000}
    )
    with counted(router, 1) as lines:
        if stream:
            answer = Stream(router, body(text)).read()
            assert is_whole(answer.text)
            assert answer.headers["X-Router-Speculative"] == "won"
        else:
            reply = ask(router, text)
            assert is_whole(content(reply))
            assert reply.headers["X-Router-Speculative"] == "won"
    began, decided = (sim.stats(role)["requests"][-1]["at"] for role in ("primary", "router"))
    assert began < decided + 1.9
    assert sim.stats("primary")["started"] == 1
    assert sim.stats("primary")["finished"] == 1
    assert "tier=reasoning" in lines[0]
    assert any("speculative=true" in line for line in router.log()[-8:])


def test_no_byte_before_the_route_is_known(router: RouterProcess, sim: Simulator) -> None:
    """Although the primary has answered long ago, the client hears nothing until the classifier has
    spoken."""
    text = steer(
        "What is it?", router={"label": "MODERATE", "ttft_ms": 800}, primary={"tokens": 10}
    )
    with Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text, stream=True))
        sim.wait_for("primary", finished=1)
        wire.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            wire.sock.recv(1)
        wire.sock.settimeout(10)
        assert b"[DONE]" in wire.read_until(b"[DONE]")


def test_a_speculation_that_loses_says_nothing(router: RouterProcess, sim: Simulator) -> None:
    """Nothing of what the primary had already generated reaches the client of another route."""
    text = steer(
        "Prove it",
        router={"label": "COMPLEX", "ttft_ms": 400},
        primary={"text": "secret of the primary " * 50},
    )
    answer = Stream(router, body(text)).read()
    assert is_whole(answer.text)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (body(META), {}),
        (body("Hello", model="ai-router/xai"), {}),
        (body("Hello", model="grok-4-1-fast-reasoning"), {}),
        (body("Hello"), {"X_Router_Route": "xai"}),
        (body("Hello", metadata={"task": "title_generation"}), {}),
    ],
    ids=["meta", "forced", "model", "header", "task"],
)
def test_what_is_decided_at_once_is_not_speculated(
    router: RouterProcess, sim: Simulator, payload: dict[str, Any], headers: dict[str, str]
) -> None:
    """META, forced routes and a backend's own model take one call, and no other backend is
    touched."""
    answer = Stream(router, payload, **headers).read()
    assert answer.headers["X-Router-Speculative"] == "none"
    assert sum(sim.stats(role)["started"] for role in ("router", "primary", "xai")) == 1


def test_a_speculation_never_waits_for_a_slot(make_router, sim: Simulator) -> None:
    """While the primary's slots are taken nothing is speculated, and the cloud's answer is not held
    up by it."""
    router = make_router(config={"backends": {"primary": {"slots": 1}}})
    with Wire(router.port) as busy:
        busy.post(
            "/v1/chat/completions",
            body(steer("Hello", primary=SLOW_PRIMARY), model="ai-router/primary"),
        )
        eventually(lambda: sim.stats("primary")["running"] == 1)
        answer = ask(router, steer("Prove it", router={"label": "COMPLEX"}))
        assert (answer.headers["X-Router-Backend"], answer.headers["X-Router-Speculative"]) == (
            "xai",
            "none",
        )
        assert sim.stats("primary")["started"] == 1
    all_free(router)


def test_a_speculation_can_be_switched_off(make_router, sim: Simulator) -> None:
    """SPECULATION=off: the primary is asked after the decision, once."""
    router = make_router(env={"SPECULATION": "off"})
    answer = ask(router, steer("What is it?", router={"label": "MODERATE", "ttft_ms": 300}))
    assert (answer.headers["X-Router-Speculative"], is_whole(content(answer))) == ("none", True)
    assert (
        sim.stats("primary")["requests"][-1]["at"] - sim.stats("router")["requests"][-1]["at"]
        > 0.25
    )
    complex_ = ask(router, steer("Prove it", router={"label": "COMPLEX"}))
    assert complex_.headers["X-Router-Speculative"] == "none"
    assert sim.stats("primary")["started"] == 1


def test_what_is_read_ahead_is_bounded(make_router, sim: Simulator) -> None:
    """When the buffer is full the backend is no longer read, until the route is confirmed; then all
    of it arrives."""
    flood = Flood()
    with ScriptedBackend(flood) as scripted:
        router = make_router(
            config={
                "backends": {"primary": {"model": "m"}},
                "speculation": {"buffer_kb": 16},
            },
            urls={"primary": scripted.url},
            warm=False,
        )
        text = steer("What is it?", router={"label": "MODERATE", "ttft_ms": 4000})
        asking = Running(lambda: Stream(router, body(text)).read())
        assert flood.held_back.wait(30)
        assert flood.sent < flood.events
        assert sim.stats("router")["running"] == 1, "the classifier still thinks"
        stream = asking.one()
        assert stream.headers["X-Router-Speculative"] == "won"
        assert stream.text == flood.whole
        all_free(router)


@pytest.mark.parametrize(
    "fault",
    ["html", {"name": "error_status", "status": 500}, {"name": "error_status", "status": 503}],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_speculation_that_failed_is_not_repeated(
    router: RouterProcess, sim: Simulator, fault: str | dict[str, Any], stream: bool
) -> None:
    """A speculation that failed by itself was the one try at its backend: the same request does not
    go there again."""
    text = steer(
        "What is it?", router={"label": "MODERATE", "ttft_ms": 300}, primary={"fault": fault}
    )
    with counted(router, 1) as lines:
        answer = Stream(router, body(text)).response if stream else ask(router, text)
    expected = 502 if fault == "html" else fault["status"]  # type: ignore[index]
    assert answer.status_code == expected
    assert sim.stats("primary")["started"] == 1
    assert "outcome=upstream_error" in lines[0]
    all_free(router)


def test_a_speculation_that_failed_does_not_matter_elsewhere(
    router: RouterProcess, sim: Simulator
) -> None:
    """A failed speculation leaves a COMPLEX answer untouched."""
    answer = ask(
        router,
        steer("Prove it", router={"label": "COMPLEX", "ttft_ms": 200}, primary={"fault": "reset"}),
    )
    assert is_whole(content(answer))
    assert answer.headers["X-Router-Backend"] == "xai"


def test_the_speculation_sends_what_the_answer_would(router: RouterProcess, sim: Simulator) -> None:
    """The speculative call is the very request that the primary route makes."""
    text = "What is it about, in a few words?"
    ask(router, text, temperature=0.3)
    ask(router, text, temperature=0.3, model="ai-router/primary")
    first, second = asked(sim, "primary")
    assert first == second


def test_a_cancelled_speculation_is_counted(router: RouterProcess, sim: Simulator) -> None:
    """The metrics tell won from cancelled, how quickly the socket was shut and what was wasted."""
    won, cancelled = (
        router.metric("airouter_speculation_total", result=result)
        for result in ("won", "cancelled")
    )
    aborts = router.metric("airouter_speculation_abort_seconds_count")
    wasted = router.metric("airouter_speculation_wasted_tokens_total")
    ask(router, steer("What is it?", router={"label": "MODERATE"}))
    Stream(
        router,
        body(
            steer(
                "Prove it",
                router={"label": "COMPLEX", "ttft_ms": 500},
                primary={"tokens": 50, "tps": 40},
            )
        ),
    ).read()
    eventually(
        lambda: router.metric("airouter_speculation_total", result="cancelled") == cancelled + 1
    )
    assert router.metric("airouter_speculation_total", result="won") == won + 1
    assert router.metric("airouter_speculation_abort_seconds_count") == aborts + 1
    assert router.metric("airouter_speculation_wasted_tokens_total") > wasted
