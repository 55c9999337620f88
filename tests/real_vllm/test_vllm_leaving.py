"""A client that leaves frees vLLM.

vLLM's `request_success{abort}` stays 0 then; its running requests and generated tokens tell.
"""

from __future__ import annotations

import pytest
from harness import Wire, all_free, error_of, eventually
from real_vllm.asking import PRIMARY, chat
from real_vllm.served import SEQUENCES, Engine

from bench.router_process import RouterProcess

pytestmark = pytest.mark.real_vllm

LONG = 3500  # tokens; several seconds


@pytest.fixture(autouse=True)
def at_rest(router: RouterProcess, engine: Engine) -> None:
    engine.idle()
    all_free(router)


def waiting(router: RouterProcess) -> int:
    return int(router.get("/admin/status").json()["backends"]["primary"]["waiting"])


def left_early(engine: Engine, before: int) -> None:
    engine.idle(5.0)
    assert engine.generated - before < LONG / 2


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("forced", [True, False], ids=["forced", "decided"])
def test_a_client_that_leaves_stops_vllm(
    router: RouterProcess, engine: Engine, stream: bool, forced: bool
) -> None:
    before = engine.generated
    headers = {"X_Router_Route": "primary"} if forced else {}
    ask = chat("A blueberry that leaves.", max_tokens=LONG, stream=stream)
    with Wire(router.port).post("/v1/chat/completions", ask, **headers) as wire:
        if stream:
            wire.read_until(b'"content":"')
        eventually(lambda: engine.running > 0, why="it never ran")
        wire.leave()
        left_early(engine, before)
    all_free(router)


def test_a_client_whose_time_is_over_stops_vllm(router: RouterProcess, engine: Engine) -> None:
    before = engine.generated
    response = router.post(
        "/v1/chat/completions",
        chat(max_tokens=LONG),
        headers={**PRIMARY, "X-Router-Timeout": "1"},
    )
    assert response.status_code == 504
    assert error_of(response)["code"] == "client_deadline_exceeded"
    left_early(engine, before)


def test_clients_that_leave_the_queue_never_reach_vllm(
    router: RouterProcess, engine: Engine
) -> None:
    """All slots are taken by others, which leave as well."""
    ask = chat(max_tokens=LONG, stream=True)
    wires = [
        Wire(router.port).post("/v1/chat/completions", ask, X_Router_Route="primary")
        for _ in range(SEQUENCES)
    ]
    eventually(lambda: engine.running == SEQUENCES, why="not all run")
    queued = [
        Wire(router.port).post("/v1/chat/completions", ask, X_Router_Route="primary")
        for _ in range(3)
    ]
    eventually(lambda: waiting(router) == 3, why="none waits")
    before = engine.metric("request_prompt_tokens_count") + engine.running
    for wire in [*queued, *wires]:
        wire.leave()
    engine.idle(5.0)
    all_free(router)
    assert engine.metric("request_prompt_tokens_count") <= before
    response = router.post("/v1/chat/completions", chat(max_tokens=5), headers=PRIMARY)
    assert response.status_code == 200
