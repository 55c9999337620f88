"""A client that leaves, whenever it does: the backends are let go, and there is exactly one record
of it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from harness import Wire, all_free, body, counted, eventually, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

SLOW = {"ttft_ms": 20_000}
SOON = 5.0  # seconds after the client has left; the backends would take 20


def took(line: str, stage: str) -> int:
    """The `…_ms` of a stage in a REQUEST line."""
    found = re.search(rf" {stage}_ms=(\d+)", line)
    assert found, line
    return int(found[1])


def is_nearly_all(line: str, stage: str) -> None:
    """The stage in which the client left took what is left of the whole by the other stages."""
    others = sum(
        took(line, other)
        for other in ("classification", "enrichment", "inference")
        if other != stage and f" {other}_ms=" in line
    )
    total = took(line, "total")
    assert 0 < took(line, stage) <= total, line
    assert took(line, stage) + others > total / 2, line


def aborted_at(sim: Simulator, role: str) -> float:
    """When the first abort of a role was, in seconds since the epoch."""
    return float(sim.wait_for(role, aborted=1)["aborts"][0]["at"])


@pytest.mark.parametrize("stream", [False, True])
def test_during_the_classification(router: RouterProcess, sim: Simulator, stream: bool) -> None:
    """Leaving while the classifier thinks stops the classifier and the speculation."""
    text = steer("What is it?", router=SLOW, primary=SLOW)
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text, stream=stream))
        sim.wait_for("router", started=1)
        sim.wait_for("primary", started=1)
        time.sleep(0.2)
        left = wire.leave()
        assert aborted_at(sim, "router") - left < SOON
        assert aborted_at(sim, "primary") - left < SOON
    assert "outcome=client_gone" in lines[0]
    is_nearly_all(lines[0], "classification")
    assert sim.stats("xai")["started"] == 0
    all_free(router)


def test_during_the_classification_with_the_speculation_already_answering(
    router: RouterProcess, sim: Simulator
) -> None:
    """A speculation that streams into its buffer is stopped like one that has not begun."""
    text = steer("What is it?", router=SLOW, primary={"tokens": 1000, "tps": 50})
    with counted(router, 1), Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text, stream=True))
        eventually(lambda: sim.stats("primary")["tokens_generated"] > 3)
        left = wire.leave()
        assert aborted_at(sim, "primary") - left < SOON
        assert aborted_at(sim, "router") - left < SOON
    assert sim.stats("primary")["aborts"][0]["phase"] == "streaming"
    all_free(router)


@pytest.mark.parametrize("stream", [False, True])
def test_during_the_enrichment(router: RouterProcess, sim: Simulator, stream: bool) -> None:
    """Leaving during the web search stops the search, and the primary is not asked any more."""
    text = steer(
        "The news?",
        router={"label": "ENRICH"},
        xai={"search_ms": 20_000},
        primary={"ttft_ms": 1000},
    )
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text, stream=stream))
        sim.wait_for("xai", started=1)
        time.sleep(0.5)
        left = wire.leave()
        assert aborted_at(sim, "xai") - left < SOON
    assert "outcome=client_gone" in lines[0]
    is_nearly_all(lines[0], "enrichment")
    assert sim.stats("primary")["finished"] == 0
    assert sim.stats("primary")["started"] == sim.stats("primary")["aborted"]
    all_free(router)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "role"), [("ai-router/primary", "primary"), ("ai-router/xai", "xai")]
)
def test_before_the_first_token(
    router: RouterProcess, sim: Simulator, model: str, role: str, stream: bool
) -> None:
    """Leaving while the answer is awaited stops the backend, streaming or not."""
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post(
            "/v1/chat/completions", body(steer("Hello", **{role: SLOW}), model=model, stream=stream)
        )
        eventually(lambda: sim.stats(role)["running"] == 1)
        time.sleep(0.2)
        left = wire.leave()
        assert aborted_at(sim, role) - left < SOON
    assert "outcome=client_gone" in lines[0]
    is_nearly_all(lines[0], "inference")
    all_free(router)


@pytest.mark.parametrize(
    ("label", "role"), [("MODERATE", "primary"), ("COMPLEX", "xai"), ("ENRICH", "primary")]
)
def test_in_mid_stream(router: RouterProcess, sim: Simulator, label: str, role: str) -> None:
    """Leaving in the middle of a stream stops the backend, also between two of its tokens."""
    text = steer("What is it?", router={"label": label}, **{role: {"tokens": 500, "tps": 4}})
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(text, stream=True))
        wire.read_until(b'"content":"')
        gone_before = sim.stats(role)["aborted"]
        left = wire.leave()
        stats = sim.wait_for(role, aborted=gone_before + 1)
        assert stats["aborts"][-1]["at"] - left < SOON
    assert "outcome=client_gone" in lines[0]
    is_nearly_all(lines[0], "inference")
    all_free(router)


def test_while_the_backend_is_silent_in_mid_stream(router: RouterProcess, sim: Simulator) -> None:
    """A stalled stream is let go at once too: nothing has to be written to notice that the client
    has left."""
    with counted(router, 1), Wire(router.port) as wire:
        wire.post(
            "/v1/chat/completions",
            body(
                steer("Hello", primary={"fault": "stall"}), model="ai-router/primary", stream=True
            ),
        )
        wire.read_until(b'"content":"')
        left = wire.leave()
        assert aborted_at(sim, "primary") - left < SOON
    all_free(router)


def test_after_comments_were_sent(impatient_router: RouterProcess, sim: Simulator) -> None:
    """A client that left after the stream was opened with comments is noticed like any other."""
    router = impatient_router
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post(
            "/v1/chat/completions",
            body(
                steer("Prove it", router={"ttft_ms": 600, "label": "COMPLEX"}, xai=SLOW),
                stream=True,
            ),
        )
        wire.read_until(b": waiting")
        sim.wait_for("xai", started=1)
        left = wire.leave()
        assert aborted_at(sim, "xai") - left < SOON
    assert "outcome=client_gone" in lines[0]
    all_free(router)


def test_while_waiting_for_a_slot(make_router, sim: Simulator) -> None:
    """Leaving the queue leaves it: the place is free, the backend is never asked, the others are
    served."""
    router = make_router(config={"backends": {"primary": {"slots": 1}}, "queue": {"wait": 30}})
    with Wire(router.port) as holder, Wire(router.port) as waiter:
        holder.post(
            "/v1/chat/completions", body(steer("Hello", primary=SLOW), model="ai-router/primary")
        )
        eventually(lambda: sim.stats("primary")["running"] == 1)
        waiter.post("/v1/chat/completions", body("Hello", model="ai-router/primary"))
        eventually(lambda: router.stats()["backends"]["primary"]["waiting"] == 1)
        waiter.leave()
        eventually(lambda: router.stats()["backends"]["primary"]["waiting"] == 0, limit=SOON)
        holder.leave()
    all_free(router)
    assert sim.stats("primary")["started"] == 1


def test_in_the_middle_of_its_own_body(router: RouterProcess, sim: Simulator) -> None:
    """A client that leaves before its request is complete costs nothing, and is recorded once."""
    with counted(router, 1), Wire(router.port) as wire:
        wire.sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
            + b"{" * 100
        )
        time.sleep(0.1)
        wire.leave()
    assert sum(sim.stats(role)["started"] for role in ("router", "primary", "xai")) == 0
    all_free(router)


@pytest.mark.parametrize(
    "payload",
    [
        body(steer("Hello", primary=SLOW)),
        body(steer("Hello", primary={"tokens": 500, "tps": 5}), stream=True),
    ],
    ids=["whole", "stream"],
)
def test_on_a_pass_through(router: RouterProcess, sim: Simulator, payload: dict[str, Any]) -> None:
    """A pass-through frees its backend as well."""
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/primary/v1/chat/completions", payload)
        eventually(lambda: sim.stats("primary")["running"] == 1)
        left = wire.leave()
        assert aborted_at(sim, "primary") - left < SOON
    assert "outcome=client_gone" in lines[0]
    all_free(router)


def test_text_completions_and_embeddings_too(router: RouterProcess, sim: Simulator) -> None:
    """The other endpoints are no exception."""
    sim.configure("embedding", ttft_nonstream_ms=20_000)
    for path, payload, role in (
        ("/v1/completions", {"prompt": steer("Once", primary=SLOW)}, "primary"),
        ("/v1/embeddings", {"input": "one"}, "embedding"),
    ):
        with counted(router, 1), Wire(router.port) as wire:
            wire.post(path, payload)
            sim.wait_for(role, started=1)
            left = wire.leave()
            assert aborted_at(sim, role) - left < SOON
    all_free(router)


def test_a_client_that_left_is_not_held_against_the_backend(make_router, sim: Simulator) -> None:
    """However many clients leave, the backend stays in good standing."""
    router = make_router(config={"backends": {"primary": {"breaker_fails": 3}}})
    for _ in range(8):
        with Wire(router.port) as wire:
            before = sim.stats("primary")["aborted"]
            wire.post(
                "/v1/chat/completions",
                body(steer("Hello", primary=SLOW), model="ai-router/primary"),
            )
            eventually(lambda: sim.stats("primary")["running"] == 1)
            wire.leave()
            sim.wait_for("primary", aborted=before + 1)
    assert router.stats()["backends"]["primary"]["breaker"] == "closed"
    assert router.metric("airouter_client_gone_freed_seconds_count") == 8
    all_free(router)


def test_the_next_request_finds_a_sound_connection(router: RouterProcess, sim: Simulator) -> None:
    """An aborted call's connection is never used again: what follows on the same backend is
    whole."""
    for _ in range(5):
        with Wire(router.port) as wire:
            wire.post(
                "/v1/chat/completions",
                body(
                    steer("A", primary={"tokens": 300, "tps": 100}),
                    model="ai-router/primary",
                    stream=True,
                ),
            )
            wire.read_until(b'"content":"')
        answer = router.post(
            "/v1/chat/completions",
            body(steer("B", primary={"text": "just this"}), model="ai-router/primary"),
        )
        assert answer.json()["choices"][0]["message"]["content"] == "just this"
    all_free(router)
