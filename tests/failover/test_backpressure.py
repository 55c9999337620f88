"""A cap per backend and a bounded, fair queue before it: who waits, who is sent away, and what they
are told."""

from __future__ import annotations

import time
from typing import Any

from harness import Wire, all_free, ask, body, error_of, eventually, steer
from resilience_harness import CHAIN_MODEL, Running, backend, served_by, started, well

from simulator.testing import Simulator


def long(seconds: float, name: str = "long") -> str:
    return steer(name, all={"ttft_ms": seconds * 1000})


PATIENT = {"first_byte_timeout": 20, "total_timeout": 20}


def running(sim: Simulator, role: str = "primary") -> int:
    return int(sim.stats(role)["running"])


def first_words(sim: Simulator, role: str = "primary") -> list[str]:
    """The first word of each request's last message, in the order in which the backend got them."""
    import json

    return [
        json.loads(seen["body"])["messages"][-1]["content"].split()[0]
        for seen in sim.stats(role)["requests"]
    ]


def test_never_more_than_the_cap(make_chain, sim: Simulator) -> None:
    """Of ten at once the backend sees two at a time, and all are answered."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 2, **PATIENT}}, queue={"wait": 20}
    )
    most = 0
    many = Running(lambda: ask(router, long(0.15), **CHAIN_MODEL), 10)
    while many.done < 10:
        most = max(most, running(sim), backend(router)["in_use"])
    assert most == 2
    for answer in many.all():
        well(answer)
    all_free(router)


def test_people_first_then_housekeeping_then_batches(make_chain, sim: Simulator) -> None:
    """The queue is fair by kind, whatever the order of arrival; a batch that is also housekeeping
    stays a batch."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 1, **PATIENT}}, queue={"wait": 20}
    )
    first = Running(lambda: ask(router, long(1.2, "first"), **CHAIN_MODEL))
    eventually(lambda: running(sim) == 1)
    waiting = []
    for number, (name, headers, model) in enumerate(
        [
            ("batch1", {"X-Router-Priority": "batch"}, "ai-router/primary"),
            ("batch2", {"X-Router-Priority": "batch"}, "ai-router/meta"),
            ("meta", {}, "ai-router/meta"),
            ("person1", {}, "ai-router/primary"),
            ("person2", {}, "ai-router/primary"),
        ],
        1,
    ):
        waiting.append(
            Running(
                lambda name=name, headers=headers, model=model: ask(
                    router, name, headers=headers, model=model
                )
            )
        )  # type: ignore[misc]
        eventually(lambda number=number: backend(router)["waiting"] == number)  # type: ignore[misc]
    for call in [first, *waiting]:
        well(call.one())
    assert first_words(sim) == ["first", "person1", "person2", "meta", "batch1", "batch2"]


def test_the_wait_is_bounded_and_says_what_to_expect(make_chain, sim: Simulator) -> None:
    """After the wait it is 429 with Retry-After, and the body says how long the queue is and how
    long it would take."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 1, **PATIENT}}, queue={"wait": 0.4}
    )
    holder = Running(lambda: ask(router, long(1.5), **CHAIN_MODEL))
    eventually(lambda: running(sim) == 1)
    began = time.monotonic()
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert 0.35 < time.monotonic() - began < 5
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )
    assert int(answer.headers["Retry-After"]) >= 1
    assert isinstance(error["queue_length"], int)
    assert error["expected_wait_s"] > 0
    assert "x-should-retry" not in answer.headers
    well(holder.one())
    assert backend(router)["fails"] == 0
    all_free(router)


def test_retry_after_comes_from_observed_service_time(make_chain, sim: Simulator) -> None:
    """What the queue expects is what answers have taken lately."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 1, **PATIENT}}, queue={"length": 0}
    )
    for _ in range(2):
        ask(router, long(1), **CHAIN_MODEL)
    holder = Running(lambda: ask(router, long(1.5), **CHAIN_MODEL))
    eventually(lambda: running(sim) == 1)
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert answer.status_code == 429
    assert 0.8 < error_of(answer)["expected_wait_s"] < 4
    assert int(answer.headers["Retry-After"]) >= error_of(answer)["expected_wait_s"]
    holder.one()


def test_a_full_queue_turns_away_at_once(make_chain, sim: Simulator) -> None:
    """Whoever finds the queue full does not wait; a client that leaves it makes room."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 1, **PATIENT}}, queue={"length": 1, "wait": 20}
    )
    with Wire(router.port) as holder, Wire(router.port) as waiter:
        holder.post("/v1/chat/completions", body(long(15), **CHAIN_MODEL))
        eventually(lambda: running(sim) == 1)
        waiter.post("/v1/chat/completions", body("Hello", **CHAIN_MODEL))
        eventually(lambda: backend(router)["waiting"] == 1)
        began = time.monotonic()
        answer = ask(router, "Hello", **CHAIN_MODEL)
        assert time.monotonic() - began < 3
        assert (answer.status_code, error_of(answer)["queue_length"]) == (429, 1)
        waiter.leave()
        eventually(lambda: backend(router)["waiting"] == 0)
        last = Running(lambda: ask(router, "Hello", **CHAIN_MODEL))
        eventually(lambda: backend(router)["waiting"] == 1)
        holder.leave()
        well(last.one())
    assert started(sim, "primary") == 2
    all_free(router)


def test_the_wait_limit_does_not_touch_what_runs(make_chain, sim: Simulator) -> None:
    """An answer may take much longer than the queue's limit, also one that has waited."""
    router = make_chain(
        "primary", backends={"primary": {"slots": 1, **PATIENT}}, queue={"wait": 1.5}
    )
    first = Running(lambda: ask(router, long(0.5), **CHAIN_MODEL))
    eventually(lambda: running(sim) == 1)
    second = Running(lambda: ask(router, long(2.5), **CHAIN_MODEL))
    well(first.one())
    well(second.one())


def test_busy_is_not_failed(make_chain, sim: Simulator) -> None:
    """When local backends are busy the next local one is asked, and never the cloud."""
    router = make_chain(
        "primary", "second", "xai", each={"slots": 1, **PATIENT}, queue={"length": 0}
    )
    calls: list[Any] = []
    for role in ("primary", "embedding"):
        calls.append(Running(lambda: ask(router, long(2), **CHAIN_MODEL)))
        eventually(lambda role=role: running(sim, role) == 1)  # type: ignore[misc]
    answer = ask(router, "Hello", **CHAIN_MODEL)
    assert answer.status_code == 429
    assert "Retry-After" in answer.headers
    assert [served_by(call.one()) for call in calls] == ["primary", "second"]
    assert started(sim, "xai") == 0


def test_who_waits_takes_the_first_slot_of_any_local_backend(make_chain, sim: Simulator) -> None:
    """All local backends are full: whichever is free first answers who waits, not the first in
    the chain, and the cloud does not."""
    router = make_chain(
        "primary", "second", "xai", each={"slots": 1, **PATIENT}, queue={"wait": 15}
    )
    kept = Running(lambda: ask(router, long(9), **CHAIN_MODEL))
    eventually(lambda: running(sim) == 1)
    brief = Running(lambda: ask(router, long(1.5), **CHAIN_MODEL))
    eventually(lambda: running(sim, "embedding") == 1)
    waiting = Running(lambda: ask(router, "Hello", **CHAIN_MODEL), 3)
    assert {served_by(answer) for answer in waiting.all()} == {"second"}
    assert running(sim) == 1  # the first backend was busy all the time
    assert served_by(brief.one()) == "second"
    assert served_by(kept.one()) == "primary"
    assert started(sim, "xai") == 0
    all_free(router)


def test_the_caps_are_divided_among_the_workers(make_chain, sim: Simulator) -> None:
    """With two worker processes each has half of the slots, and the start says so."""
    router = make_chain("primary", backends={"primary": {"slots": 6}}, env={"WORKERS": "2"})
    assert backend(router)["slots"] == 3
    assert "2 workers; slots and queue of each backend are divided among them" in router.printed()
