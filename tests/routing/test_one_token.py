"""The one-token tier: what it asks, how it reads log-probabilities, and when it is not asked at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from harness import ask, asked, eventually, steer
from hypothesis import given
from hypothesis import strategies as st

from airouter.routing.tiers.one_token import LABELS, read_shares
from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]

ONE_TOKEN: dict[str, Any] = {"cascade": {"tiers": ["rules", "one_token"]}}


def constrained(sim: Simulator) -> list[dict[str, Any]]:
    """The one-token requests that the classifier has received."""
    return [body for body in asked(sim, "router") if "structured_outputs" in body]


def tier_of(router: RouterProcess, text: str = "What is it?") -> str:
    answer = ask(router, text)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Router-Tier"]


def decides(router: RouterProcess, limit: float = 10.0) -> None:
    """Wait until the tier decides."""
    eventually(lambda: tier_of(router) == "one_token", limit, "the tier does not decide")


def answer_of(tokens: dict[str, float], given: str, **message: Any) -> bytes:
    top = [{"token": token, "logprob": logprob} for token, logprob in tokens.items()]
    entry = {"token": given, "logprob": tokens[given], "top_logprobs": top}
    choice = {"message": message, "logprobs": {"content": [entry]}}
    return json.dumps({"choices": [choice]}).encode()  # NaN and Infinity as servers write them


# Reading ------------------------------------------------------------------------------------------------------------


def test_shares_are_renormalised_over_the_labels() -> None:
    """Tokens that begin no label, or more than one, count for nothing."""
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
    """Wherever a reasoning parser has put the token, its log-probabilities decide."""
    shares = read_shares(answer_of({"COM": -0.01, "MO": -5.0}, "COM", **message))
    assert shares is not None
    assert max(shares, key=lambda label: shares[label]) == "COMPLEX"


@pytest.mark.parametrize(
    "odd", [math.nan, -math.inf, -9999.0, -(10**400), None, "x", True], ids=repr
)
def test_an_odd_log_probability_costs_only_its_own_token(odd: Any) -> None:
    """NaN, -Infinity and the like weigh nothing; the other tokens still decide."""
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
    """Nothing a server can answer breaks the reading of it."""
    shares = read_shares(json.dumps(payload).encode())
    assert shares is None or set(shares) == set(LABELS)


# Asking -------------------------------------------------------------------------------------------------------------


def test_a_server_with_parsers_is_asked_so_that_it_answers(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """With a reasoning parser vLLM drops log-probabilities where `include_reasoning` is false, and takes the one token for
    reasoning: the tier decides all the same."""
    sim.configure("router", reasoning_parser=True)
    router = make_router(ONE_TOKEN)
    decides(router)
    answer = ask(router, steer("Prove it", router={"label": "COMPLEX"}))
    assert answer.headers["X-Router-Tier"] == "one_token"
    assert answer.headers["X-Router-Label"] == "COMPLEX"
    assert all("include_reasoning" not in body for body in constrained(sim))
