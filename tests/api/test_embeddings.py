"""POST /v1/embeddings with more inputs than a backend takes at once, over sockets."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from harness import Wire, all_free, asked, counted, error_of, eventually, session_file

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MANY = [f"text number {i}" for i in range(1000)]


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "base64", "dimensions": 8}])
def test_a_thousand_are_what_one_request_would_get(
    router: RouterProcess, sim: Simulator, fields: dict[str, Any]
) -> None:
    """The same embeddings in the same order and the same usage, from 32 requests, four at a time;
    one record, with a step for each."""
    payload = {"input": MANY, "model": "embedding-model", **fields}
    direct = requests.post(sim.url("embedding") + "/v1/embeddings", json=payload, timeout=60).json()
    sim.reset("embedding")
    sim.configure("embedding", max_inputs=32, ttft_nonstream_ms=20)
    with counted(router, 1) as lines:
        answer = router.post("/v1/embeddings", payload)
    assert answer.status_code == 200, answer.text
    assert answer.json() == direct
    assert sorted(len(body["input"]) for body in asked(sim, "embedding")) == [8, *[32] * 31]
    assert sim.stats("embedding")["max_running"] == 4
    assert "outcome=" not in lines[0]
    document = session_file(router, answer.headers["X-Router-Session"])
    assert len(document["steps"]) == 32
    assert document["attempts"] == ["embedding: ok"]
    assert document["usage"] == direct["usage"]
    assert "32 batches" in answer.headers["X-Router-Note"]
    all_free(router)


def test_a_refused_batch_is_the_answer(router: RouterProcess, sim: Simulator) -> None:
    """With the backend's own status and words; nothing goes on behind it."""
    sim.configure("embedding", max_inputs=16)
    with counted(router, 1) as lines:
        answer = router.post("/v1/embeddings", {"input": MANY})
    assert answer.status_code == 413
    assert "batch size 32 > maximum allowed batch size 16" in error_of(answer)["message"]
    assert "outcome=client_error" in lines[0]
    all_free(router)
    assert sim.stats("embedding")["started"] <= 8
    assert router.post("/v1/embeddings", {"input": MANY[:16]}).status_code == 200


def test_a_batch_that_fails_once_is_repeated(router: RouterProcess, sim: Simulator) -> None:
    """One that is cut off, or a 500, costs the client nothing."""
    for fault in ("error_status", "cut"):
        sim.fault("embedding", fault, times=1)
        answer = router.post("/v1/embeddings", {"input": MANY[:200]})
        assert answer.status_code == 200, answer.text
        assert [one["index"] for one in answer.json()["data"]] == list(range(200))
        assert "again" in answer.headers["X-Router-Attempts"]
    all_free(router)


def test_a_batch_that_breaks_cancels_the_others(router: RouterProcess, sim: Simulator) -> None:
    """The error comes at once, while the other batches would take 20 s."""
    sim.configure("embedding", ttft_nonstream_ms=20_000)
    sim.fault("embedding", "error_status", status=400, times=1)
    with counted(router, 1):
        answer = router.post("/v1/embeddings", {"input": MANY})
    assert answer.status_code == 400
    assert answer.elapsed.total_seconds() < 10
    all_free(router)
    eventually(lambda: sim.stats("embedding")["running"] == 0)
    assert sim.stats("embedding")["finished"] == 1


def test_a_client_that_leaves_cancels_all_batches(router: RouterProcess, sim: Simulator) -> None:
    """All four at once, and no other one begins."""
    sim.configure("embedding", ttft_nonstream_ms=20_000)
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/v1/embeddings", {"input": MANY})
        sim.wait_for("embedding", started=4)
        wire.leave()
        sim.wait_for("embedding", aborted=4)
    assert "outcome=client_gone" in lines[0]
    assert sim.stats("embedding")["started"] == 4
    all_free(router)
