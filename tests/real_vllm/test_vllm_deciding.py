"""vLLM as the classifier: one constrained token, or a label that it writes; in both rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import eventually
from real_vllm.asking import chat
from real_vllm.conftest import MakeRouter
from real_vllm.served import WINDOW, Engine, Tap

from bench.router_process import RouterProcess
from simulator.testing import Simulator

pytestmark = pytest.mark.real_vllm

LABELS = {
    "apricot": "SIMPLE",
    "blueberry": "MODERATE",
    "cloudberry": "COMPLEX",
    "elderberry": "ENRICH",
}
TOO_LONG = "word " * 800  # as much as a classifier is shown; with the rubric it is beyond WINDOW
# Tokens that vLLM may write while the route is decided, and for a moment after the socket is
# closed; left alone it would write 3,000.
STOPS_WITHIN = 1500


def decide(router: RouterProcess, text: str) -> dict[str, Any]:
    response = router.post("/api/route", chat(text))
    assert response.status_code == 200, response.text
    decision: dict[str, Any] = response.json()
    return decision


def verdict(decision: dict[str, Any], tier: str) -> dict[str, Any]:
    [found] = [v for v in decision["verdicts"] if v["tier"] == tier]
    return dict(found)


@pytest.fixture(scope="module")
def reasoning_router(tap: Tap, start_router: MakeRouter) -> Iterator[RouterProcess]:
    """One whose classifier writes its label; what it asks passes the tap."""
    router = start_router(
        {"router": tap.url, "primary": tap.url},
        {"cascade": {"tiers": ["rules", "reasoning"]}, "probes": {"enabled": False}},
    )
    eventually(lambda: router.get("/health").json()["status"] == "healthy", 30)
    yield router
    router.stop()


# One token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "label"), LABELS.items())
def test_one_token_names_the_label(router: RouterProcess, word: str, label: str) -> None:
    decision = decide(router, f"An {word}, please.")
    assert (decision["label"], decision["tier"]) == (label, "one_token")
    assert decision["p"] > 0.99


def test_one_token_costs_one_token(router: RouterProcess, engine: Engine) -> None:
    engine.idle()
    before = engine.generated
    decide(router, "One more apricot.")
    assert engine.generated - before == 1


def test_what_one_token_leaves_open_is_thought_over(router: RouterProcess) -> None:
    """Two code words share the probability: the label is not sure enough."""
    decision = decide(router, "An apricot and a cloudberry.")
    unsure = verdict(decision, "one_token")
    assert unsure["label"] is None
    assert 0.4 < unsure["p"] < 0.6
    assert decision["tier"] == "reasoning"
    assert decision["label"] in ("SIMPLE", "COMPLEX")


def test_one_unsuitable_ask_does_not_switch_the_tier_off(
    router: RouterProcess, engine: Engine
) -> None:
    refused = verdict(decide(router, f"A cloudberry. {TOO_LONG}"), "one_token")
    assert refused["label"] is None
    assert decide(router, "An apricot after that.")["tier"] == "one_token"


def test_an_unsuitable_first_ask_does_not_switch_it_off_for_good(
    engine: Engine, start_router: MakeRouter
) -> None:
    router = start_router({"router": engine.url, "primary": engine.url})
    decide(router, TOO_LONG)
    eventually(
        lambda: decide(router, "An apricot at last.")["tier"] == "one_token",
        limit=60,
        why="the one-token tier stays off",
    )
    router.stop()


# A label that is written --------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "label"), LABELS.items())
def test_the_reasoning_tier_reads_the_label(
    reasoning_router: RouterProcess, word: str, label: str
) -> None:
    decision = decide(reasoning_router, f"The {word} here.")
    assert (decision["label"], decision["tier"]) == (label, "reasoning")


def test_it_stops_vllm_as_soon_as_the_label_is_out(
    reasoning_router: RouterProcess, engine: Engine
) -> None:
    engine.idle()
    before = engine.generated
    decision = decide(reasoning_router, "A blueberry, and then much more that is not wanted.")
    assert decision["label"] == "MODERATE"
    engine.idle()
    assert engine.generated - before < STOPS_WITHIN


def test_a_classifier_that_names_no_label_comes_to_an_end(
    reasoning_router: RouterProcess, engine: Engine, tap: Tap
) -> None:
    engine.idle()
    tap.forget()
    before = engine.generated
    decision = decide(reasoning_router, "No fruit at all.")
    assert decision["tier"] == "fallback"
    [body] = tap.asked()
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    assert isinstance(limit, int)
    assert 0 < limit < WINDOW // 2
    engine.idle()
    assert engine.generated - before <= limit


# With the answer under way ------------------------------------------------------------------------


def test_the_answer_begun_while_deciding_is_the_one_that_is_given(
    router: RouterProcess, engine: Engine
) -> None:
    engine.idle()
    before = engine.generated
    response = router.post("/v1/chat/completions", chat("A blueberry, in short.", max_tokens=30))
    assert response.headers["X-Router-Tier"] == "one_token"
    assert response.headers["X-Router-Speculative"] == "won"
    assert response.json()["choices"][0]["message"]["content"].startswith("MODERATE\n")
    assert engine.generated - before == 31  # once, and the label


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_not_wanted_stops_at_once(
    router: RouterProcess, engine: Engine, cloud: Simulator, stream: bool
) -> None:
    engine.idle()
    before = engine.generated
    ask = chat("A cloudberry, at length.", max_tokens=3000, stream=stream)
    response = router.post("/v1/chat/completions", ask)
    assert response.status_code == 200, response.text
    assert response.headers["X-Router-Backend"] == "xai"
    assert response.headers["X-Router-Speculative"] == "cancelled"
    engine.idle()
    assert engine.generated - before < STOPS_WITHIN


def test_equal_asks_at_once_all_get_their_answer(router: RouterProcess) -> None:
    from concurrent.futures import ThreadPoolExecutor

    started = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: decide(router, "Six apricots at once."), range(6)))
    assert [answer["label"] for answer in answers] == ["SIMPLE"] * 6
    assert time.monotonic() - started < 30
