"""The one-token tier: what it asks, how it reads log-probabilities, and what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from harness import ask, steer
from hypothesis import given
from hypothesis import strategies as st

from airouter.classify.tiers.one_token import read_shares
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSIFIER_LABELS
from airouter.domain.types import Verdict
from airouter.runtime.canaries import send
from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests.classify.make import exchange, features, finish
from tests.classify.one_token import ONE_TOKEN, constrained, decides, make_tier

MakeRouter = Callable[..., RouterProcess]


def answer_of(tokens: dict[str, float], given: str, **message: Any) -> bytes:
    top = [{"token": token, "logprob": logprob} for token, logprob in tokens.items()]
    entry = {"token": given, "logprob": tokens[given], "top_logprobs": top}
    choice = {"message": message, "logprobs": {"content": [entry]}}
    return json.dumps({"choices": [choice]}).encode()  # NaN and Infinity as servers write them


# Reading ------------------------------------------------------------------------------------------


def test_shares_are_renormalised_over_the_labels() -> None:
    """Tokens that begin no label, or more than one, are ignored."""
    tokens = {"COM": math.log(0.4), "MO": math.log(0.1), "Okay": math.log(0.4), " en": -2.0}
    shares = read_shares(answer_of(tokens, "COM", content="COMPLEX"))
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["COMPLEX"] == pytest.approx(4 * shares["MODERATE"])
    assert shares["ENRICH"] > 0
    assert shares["SIMPLE"] == 0


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": "COMPLEX"},
        {"content": "", "reasoning": "COM"},
        {},
    ],
    ids=str,
)
def test_a_token_taken_for_reasoning_is_read_all_the_same(message: dict[str, Any]) -> None:
    """The log-probabilities decide, wherever a reasoning parser has put the token."""
    shares = read_shares(answer_of({"COM": -0.01, "MO": -5.0}, "COM", **message))
    assert shares is not None
    assert max(shares, key=lambda label: shares[label]) == "COMPLEX"


@pytest.mark.parametrize("odd", [math.nan, -math.inf, -9999.0, -(10**400), None, "x"], ids=repr)
def test_an_odd_log_probability_costs_only_its_own_token(odd: Any) -> None:
    """NaN, -Infinity and the like count as 0; the other tokens still decide."""
    shares = read_shares(answer_of({"COM": -0.01, "MO": odd}, "COM"))
    assert shares is not None
    assert shares["COMPLEX"] == pytest.approx(1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("COM"),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "logprobs", "content", "token", "logprob", "top_logprobs"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_answer_is_shares_or_none(payload: Any) -> None:
    """No answer, however malformed, raises an error."""
    shares = read_shares(json.dumps(payload).encode())
    assert shares is None or set(shares) == set(CLASSIFIER_LABELS)


# Asking -------------------------------------------------------------------------------------------


def test_a_server_with_parsers_is_asked_so_that_it_answers(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """With a reasoning parser, vLLM takes the token for reasoning, and drops log-probabilities if
    `include_reasoning` is false: the tier still decides."""
    sim.configure("router", reasoning_parser=True)
    router = make_router(ONE_TOKEN)
    decides(router)
    answer = ask(router, steer("Prove it", router={"label": "COMPLEX"}))
    assert answer.headers["X-Router-Tier"] == "one_token"
    assert answer.headers["X-Router-Label"] == "COMPLEX"
    assert all("include_reasoning" not in sent for sent in constrained(sim))


# The verdict --------------------------------------------------------------------------------------


def verdict_of(
    sim: Simulator,
    *turns: str | tuple[str, str],
    settings: dict[str, Any] | None = None,
    **shares: float,
) -> Verdict:
    """What the tier says where the classifier has these probabilities, by label."""
    clock = Clock()
    tier, server = make_tier(sim, clock, settings)
    send(tier, clock)
    last = turns[-1] if turns else "Which one?"
    assert isinstance(last, str)
    if shares:
        label = max(shares, key=lambda name: shares[name])
        last = steer(last, router={"label": label, "label_probabilities": shares})
    with exchange() as asking:
        verdict = finish(asking, tier.ask(asking, features(*turns[:-1], last)))
    assert server.limiter.in_use == 0
    return verdict


def test_a_sure_label_decides(sim: Simulator) -> None:
    verdict = verdict_of(sim, COMPLEX=0.85, SIMPLE=0.1, ENRICH=0.05)
    assert (verdict.tier, verdict.label, verdict.guess) == ("one_token", "COMPLEX", "COMPLEX")
    assert verdict.p == pytest.approx(0.85, abs=0.001)
    assert verdict.p_primary == pytest.approx(0.1, abs=0.001)
    assert (verdict.threshold, verdict.finish_reason, verdict.reason) == (0.8, "stop", "")
    assert json.loads(verdict.raw)["ENRICH"] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("likelier", ["SIMPLE", "MODERATE"])
def test_the_two_labels_of_the_primary_count_together(sim: Simulator, likelier: str) -> None:
    """They share a route: neither is sure by itself, and the likelier one is named."""
    shares = {"SIMPLE": 0.42, "MODERATE": 0.42, "COMPLEX": 0.14, likelier: 0.44}
    verdict = verdict_of(sim, **shares)
    assert verdict.label == likelier
    assert verdict.p == verdict.p_primary == pytest.approx(0.86, abs=0.001)


def test_together_they_outweigh_a_likelier_label(sim: Simulator) -> None:
    verdict = verdict_of(sim, COMPLEX=0.4, SIMPLE=0.35, MODERATE=0.25)
    assert (verdict.label, verdict.guess) == (None, "SIMPLE")
    assert verdict.p == pytest.approx(0.6, abs=0.001)


@pytest.mark.parametrize(("min_p", "decided"), [(0.8, False), (0.7, True)])
def test_an_unsure_label_is_a_guess(sim: Simulator, min_p: float, decided: bool) -> None:
    """`min_p` is the line: below it the tier abstains and says what it would have said."""
    verdict = verdict_of(sim, settings={"min_p": min_p}, ENRICH=0.75, SIMPLE=0.25)
    assert verdict.label == ("ENRICH" if decided else None)
    assert (verdict.guess, verdict.threshold) == ("ENRICH", min_p)
    assert ("unsure: ENRICH at 0.75" in verdict.reason) != decided


@pytest.mark.parametrize(
    ("fault", "params", "reason"),
    [
        ("error_status", {"status": 500}, "500"),
        ("html", {}, "not a label with log-probabilities"),
        ("hang", {}, "timeout"),
        ("reset", {}, "connection"),
    ],
)
def test_an_ask_that_fails_abstains_without_a_guess(
    sim: Simulator, fault: str, params: dict[str, Any], reason: str
) -> None:
    """It says why, raises nothing and holds nothing."""
    sim.fault("router", fault, skip=1, **params)  # not the canary
    verdict = verdict_of(sim, settings={"timeout": 0.5})
    assert (verdict.label, verdict.guess, verdict.p) == (None, None, None)
    assert reason in verdict.reason, verdict.reason


def test_the_latest_turns_go_along_and_long_texts_lose_their_middle(sim: Simulator) -> None:
    turns = ["First ask", ("assistant", "First answer"), "x" * 900, ("assistant", "Second answer")]
    verdict_of(sim, *turns, f"Begin {'y' * 5000} end")
    system, user = constrained(sim)[-1]["messages"]
    assert system == {"role": "system", "content": "Label it."}
    text = user["content"]
    assert text.startswith("Conversation so far:\nuser: xxx")
    assert "assistant: Second answer\n\nQuery: Begin yyy" in text
    assert text.endswith("yyy end")
    assert "First" not in text
    assert 4000 < len(text) < 4500
    verdict_of(sim, *turns, "And now?", settings={"context_turns": 0})
    assert constrained(sim)[-1]["messages"][1]["content"] == "Query: And now?"
