"""vLLM starts late, comes back under another name, freezes, is killed in mid-stream.

The tests build on each other.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Stream, all_free, eventually, session_file
from real_vllm.asking import PRIMARY, chat, text_of
from real_vllm.conftest import MakeRouter, ready
from real_vllm.served import START_LIMIT, Engine

from bench.router_process import RouterProcess

pytestmark = [pytest.mark.real_vllm, pytest.mark.parametrize("engine", ["plain"], indirect=True)]

PATIENT = {"queue": {"hold_wait": START_LIMIT}}
LETTERS = 400


@pytest.fixture(scope="module")
def spare(
    engine: Engine, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A second vLLM beside the one that all tests share, not started yet."""
    spare = Engine(tmp_path_factory.mktemp("spare"), model)
    try:
        yield spare
    finally:
        spare.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def early_router(spare: Engine, start_router: MakeRouter) -> Iterator[RouterProcess]:
    """Started before its only backend."""
    router = start_router({"router": spare.url, "primary": spare.url}, PATIENT)
    yield router
    router.stop()


@pytest.fixture(scope="module")
def pair_router(spare: Engine, engine: Engine, start_router: MakeRouter) -> Iterator[RouterProcess]:
    """The spare one answers, the other goes on for it."""
    router = start_router(
        {"primary": spare.url, "second": engine.url},
        {
            "routes": {"primary": {"backends": ["primary", "second"]}},
            "cascade": {"tiers": ["rules"]},
            "backends": {"primary": {"cooldown": 1, "breaker_fails": 100, "idle_timeout": 3}},
        },
    )
    yield router
    router.stop()


@contextmanager
def clients(router: RouterProcess, *asks: dict[str, Any]) -> Iterator[list[Future[Any]]]:
    """Each asks at once, on a connection of its own."""

    def ask(body: dict[str, Any]) -> requests.Response:
        with requests.Session() as http:
            http.trust_env = False
            return http.post(
                f"{router.url}/v1/chat/completions", json=body, headers=PRIMARY, timeout=400
            )

    with ThreadPoolExecutor(len(asks)) as pool:
        yield [pool.submit(ask, body) for body in asks]


def all_answered(held: list[Future[Any]]) -> None:
    for future in held:
        response = future.result(START_LIMIT)
        assert response.status_code == 200, response.text
        assert b'"error"' not in response.content
        assert b'"finish_reason":"length"' in response.content


def test_clients_of_a_vllm_that_still_loads_are_held(
    early_router: RouterProcess, spare: Engine
) -> None:
    """It refuses connections until its model is loaded: clients wait instead of getting a 502."""
    with clients(early_router, chat(), chat(stream=True)) as held:
        time.sleep(2)  # before it is even started
        assert not any(future.done() for future in held)
        spare.start()
        eventually(lambda: spare.is_up, START_LIMIT)
        all_answered(held)
    all_free(early_router)


def test_the_first_constrained_question_is_not_a_clients(
    early_router: RouterProcess, spare: Engine
) -> None:
    """It takes vLLM seconds. The router asks it itself, as soon as vLLM is up; it is one token."""
    eventually(  # a canary waits 30 s, and on a busy machine it takes more than one
        lambda: any("The one-token tier is on" in line for line in early_router.log()),
        limit=120,
        why="no canary has passed",
    )
    spare.idle(30)
    started = time.monotonic()
    decision = early_router.post("/api/route", chat("An apricot, first thing.")).json()
    assert (decision["label"], decision["tier"]) == ("SIMPLE", "one_token"), decision
    assert time.monotonic() - started < 2
    assert early_router.stats()["backends"]["router"]["breaker"] == "closed"


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_answer_does_not_wait_for_a_frozen_classifier(
    spare: Engine, engine: Engine, start_router: MakeRouter, stream: bool
) -> None:
    router = start_router({"router": spare.url, "primary": engine.url})
    ready(router)
    spare.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        response = router.post("/v1/chat/completions", chat("A blueberry.", stream=stream))
        waited = time.monotonic() - started
    finally:
        spare.send(signal.SIGCONT)
    assert response.status_code == 200
    said = text_of(response.content) if stream else response.text
    assert "MODERATE" in said
    assert waited < 8  # patience is 3 s; without it both tiers take their 12 s
    assert response.headers["X-Router-Tier"] not in ("one_token", "reasoning")
    assert response.headers["X-Router-Speculative"] == "won"
    assert response.headers["X-Router-Note"]
    router.stop()


def test_a_restart_under_another_name_is_no_clients_trouble(
    early_router: RouterProcess, spare: Engine, start_router: MakeRouter
) -> None:
    """Clients that ask while it loads are held; later ones get its answer and not its 404."""
    unprobed = start_router({"primary": spare.url}, {"probes": {"enabled": False}})
    assert unprobed.post("/v1/chat/completions", chat(), headers=PRIMARY).status_code == 200
    assert (
        early_router.post("/v1/chat/completions", chat(), headers=PRIMARY).json()["model"] == "tiny"
    )
    spare.stop(signal.SIGKILL)
    spare.name = "renamed"
    spare.start()
    with clients(early_router, chat(), chat(stream=True)) as held:
        spare.until_up()
        all_answered(held)
    # One that saw nothing of the restart: what it has learnt is wrong by now.
    response = unprobed.post("/v1/chat/completions", chat(), headers=PRIMARY)
    assert response.status_code == 200, response.text
    assert response.json()["model"] == "renamed"
    for stream in (False, True, False):
        response = early_router.post("/v1/chat/completions", chat(stream=stream), headers=PRIMARY)
        assert response.status_code == 200, response.text
        assert b'"model":"renamed"' in response.content
    eventually(  # a probe has to find the classifier up first
        lambda: (
            early_router.post("/api/route", chat("An apricot again.")).json()["label"] == "SIMPLE"
        ),
        60,
        "the classifier is not asked again",
    )
    names = {model["id"] for model in early_router.get("/v1/models").json()["data"]}
    assert "renamed" in names
    assert "tiny" not in names


# In mid-stream ------------------------------------------------------------------------------------


def cut(router: RouterProcess, end: Callable[[], None]) -> Stream:
    """A stream during which `end` is called after its first 30 events."""
    short = chat(max_tokens=1)
    eventually(  # it may cool from the test before
        lambda: router.post("/v1/chat/completions", short).headers["X-Router-Backend"] == "primary",
        60,
    )
    stream = Stream(router, chat(max_tokens=LETTERS), X_Router_Route="primary")
    assert stream.status == 200
    for number, _ in enumerate(stream):
        if number == 30:
            end()
    stream.close()
    return stream


def is_the_uncut_one(router: RouterProcess, engine: Engine, stream: Stream) -> None:
    ask = {"model": engine.name, **chat(max_tokens=LETTERS)}
    uncut = engine.post("/v1/chat/completions", ask).json()["choices"][0]["message"]["content"]
    assert len(uncut) == LETTERS
    assert stream.error is None, stream.error
    assert stream.text == uncut
    assert stream.finish_reasons == ["length"]
    assert stream.done
    assert len({event["id"] for event in stream.events}) == 1
    session = session_file(router, stream.headers["X-Router-Session"])
    assert "continued by second" in json.dumps(session)  # else it was not cut in time
    all_free(router)


def test_a_vllm_that_freezes_in_mid_stream_is_followed_by_another(
    pair_router: RouterProcess, spare: Engine, engine: Engine
) -> None:
    try:
        stream = cut(pair_router, lambda: spare.send(signal.SIGSTOP))
    finally:
        spare.send(signal.SIGCONT)
    is_the_uncut_one(pair_router, engine, stream)
    spare.idle()


def test_a_killed_engine_process_is_followed_by_another(
    pair_router: RouterProcess, spare: Engine, engine: Engine
) -> None:
    """What speaks HTTP lives on for a moment, says so in the stream, and ends."""
    stream = cut(pair_router, lambda: os.kill(spare.core, signal.SIGKILL))
    is_the_uncut_one(pair_router, engine, stream)


def test_a_killed_vllm_is_followed_by_another(
    pair_router: RouterProcess, spare: Engine, engine: Engine
) -> None:
    spare.stop(signal.SIGKILL)
    spare.start().until_up()
    stream = cut(pair_router, lambda: spare.send(signal.SIGKILL))
    is_the_uncut_one(pair_router, engine, stream)
    response = pair_router.post("/v1/chat/completions", chat(), headers=PRIMARY)
    assert response.status_code == 200
    assert response.headers["X-Router-Backend"] == "second"
