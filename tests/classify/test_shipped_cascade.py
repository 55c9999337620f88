"""The cascade of config/router.yaml end to end: which tier decides, where the prompt goes, and that
a failing classifier sends nothing to the cloud that it should not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from harness import META, ask, asked, content, eventually, is_whole, route_of, steer
from requests import Response
from resilience_harness import Running

from airouter.classify.tiers.learned import LearnedTier
from airouter.domain.types import Verdict
from airouter.settings.schema import CascadeSettings
from bench.router_process import ROOT, SHIPPED, RouterProcess
from simulator.testing import Simulator
from tests.classify.make import features

MakeRouter = Callable[..., RouterProcess]

ALL_TIERS = ("rules", "cache", "learned", "tuned", "encoder", "one_token", "reasoning")
PROVE = "Prove that every bounded sequence has a convergent subsequence."
UNSURE = {"label": "COMPLEX", "label_probabilities": {"COMPLEX": 0.79, "SIMPLE": 0.21}}
_numbers = itertools.count()


def fresh(text: str) -> str:
    """The text as no test has asked it before, so that the cache does not know it."""
    return f"{text} ({next(_numbers)})"


def tier_of(answer: Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Router-Tier"]


def calls(sim: Simulator) -> list[str]:
    """What the classifier was asked, by tier, in order."""
    return [
        "one_token" if "structured_outputs" in sent else "reasoning"
        for sent in asked(sim, "router")
    ]


def wait_for_canary(router: RouterProcess) -> None:
    def decides() -> bool:
        body = {"messages": [{"role": "user", "content": fresh(steer("Ready?"))}]}
        return router.post("/api/route", body).json()["tier"] == "one_token"

    eventually(decides, 20, "the one-token tier never decides")


@pytest.fixture
def router(shipped_router: RouterProcess, sim: Simulator) -> RouterProcess:
    """With the shipped cascade, and the one-token tier's canary passed."""
    wait_for_canary(shipped_router)
    sim.reset()
    return shipped_router


def test_the_shipped_cascade_has_all_tiers(router: RouterProcess) -> None:
    """No setting of this file's router differs from config/router.yaml in what decides."""
    shipped = yaml.safe_load((ROOT / SHIPPED).read_text("utf-8"))["cascade"]
    used = yaml.safe_load((router.folder / "router.yaml").read_text("utf-8"))["cascade"]
    assert used == shipped
    assert tuple(shipped["tiers"]) == ALL_TIERS == CascadeSettings().tiers
    assert "fallback_min_p" not in shipped
    assert CascadeSettings().fallback_min_p.complex == 0.9


# Which tier decides -------------------------------------------------------------------------------


def test_rules_decide_what_a_frontend_generates_itself(
    router: RouterProcess, sim: Simulator
) -> None:
    answer = ask(router, META)
    assert (tier_of(answer), route_of(answer)) == ("rules", "meta")
    assert answer.headers["X-Router-Label"] == "META"
    assert calls(sim) == []
    assert asked(sim, "xai") == []


@pytest.mark.parametrize(
    "text",
    [
        "How do I boil an egg?",
        "Translate 'good morning' into Spanish.",
        "Write a function that reverses a string in Python.",
        "Write a short poem about autumn.",
    ],
)
def test_the_learned_tier_decides_plain_asks_without_a_call(
    router: RouterProcess, sim: Simulator, text: str
) -> None:
    answer = ask(router, text)
    assert (tier_of(answer), route_of(answer)) == ("learned", "primary")
    assert float(answer.headers["X-Router-P"]) >= float(answer.headers["X-Router-Threshold"])
    assert calls(sim) == []
    assert asked(sim, "xai") == []


@pytest.mark.parametrize(
    ("text", "label", "route"),
    [
        (steer("What is it?", all={}), "SIMPLE", "primary"),
        (PROVE, "COMPLEX", "xai"),
        ("What is the weather in Oslo today?", "ENRICH", "enrich"),
    ],
)
def test_one_token_decides_what_the_learned_tier_leaves_open(
    router: RouterProcess, sim: Simulator, text: str, label: str, route: str
) -> None:
    answer = ask(router, fresh(text))
    assert (tier_of(answer), route_of(answer)) == ("one_token", route)
    assert answer.headers["X-Router-Label"] == label
    assert float(answer.headers["X-Router-Threshold"]) == 0.8
    assert calls(sim) == ["one_token"]


def test_reasoning_decides_what_one_token_is_unsure_of(
    router: RouterProcess, sim: Simulator
) -> None:
    answer = ask(router, fresh(steer("Which one?", router=UNSURE)))
    assert (tier_of(answer), route_of(answer)) == ("reasoning", "xai")
    assert calls(sim) == ["one_token", "reasoning"]


def test_reasoning_decides_when_one_token_is_refused(router: RouterProcess, sim: Simulator) -> None:
    sim.fault("router", "error_status", status=400, times=1)
    answer = ask(router, fresh(PROVE))
    assert (tier_of(answer), route_of(answer)) == ("reasoning", "xai")
    assert calls(sim) == ["one_token", "reasoning"]


def test_reasoning_decides_until_the_canary_has_passed(
    make_router: MakeRouter, sim: Simulator
) -> None:
    """No client's request is the first constrained one of a server, which takes seconds."""
    sim.configure("router", first_constrained_ms=5000)
    router = make_router({"cascade": {"tiers": list(ALL_TIERS)}}, warm=False)
    answer = ask(router, PROVE)
    assert (tier_of(answer), route_of(answer)) == ("reasoning", "xai")
    eventually(lambda: any("one-token tier is on" in line for line in router.log()), 20)
    assert tier_of(ask(router, f"{PROVE} Again.")) == "one_token"


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [PROVE, steer("Which one?", router=UNSURE)], ids=["sure", "not"])
def test_a_repeat_comes_from_the_cache(router: RouterProcess, sim: Simulator, text: str) -> None:
    """Whichever of the calling tiers has decided; other spacing and case is a repeat, too."""
    text = fresh(text)
    first = ask(router, text)
    called = calls(sim)
    again, shouted = ask(router, text), ask(router, text.replace("P", "p").replace(" ", "  "))
    assert tier_of(first) in ("one_token", "reasoning")
    assert (tier_of(again), tier_of(shouted)) == ("cache", "cache")
    assert {route_of(answer) for answer in (first, again, shouted)} == {"xai"}
    assert calls(sim) == called


def test_ten_equal_asks_at_once_are_one_classification(
    router: RouterProcess, sim: Simulator
) -> None:
    """All of them go where the one decision says; one that comes late finds it in the cache."""
    text = fresh(steer("Which one?", router={"label": "COMPLEX", "ttft_ms": 800}))
    answers = Running(lambda: ask(router, text), 10).all()
    assert calls(sim) == ["one_token"]
    assert {tier_of(answer) for answer in answers} <= {"one_token", "cache"}
    assert sum(tier_of(answer) == "one_token" for answer in answers) >= 2
    assert {route_of(answer) for answer in answers} == {"xai"}
    assert all(is_whole(content(answer)) for answer in answers)
    assert len(asked(sim, "xai")) == 10


# Where it goes ------------------------------------------------------------------------------------


def test_complex_goes_to_the_cloud(router: RouterProcess, sim: Simulator) -> None:
    answer = ask(router, fresh(PROVE))
    assert (route_of(answer), answer.headers["X-Router-Backend"]) == ("xai", "xai")
    (sent,) = asked(sim, "xai")
    assert sent["messages"][-1]["content"].startswith(PROVE)
    assert sim.stats("xai")["searches"] == 0


def test_enrich_searches_before_the_primary_answers(router: RouterProcess, sim: Simulator) -> None:
    answer = ask(router, fresh("What is the weather in Oslo today?"))
    assert (route_of(answer), answer.headers["X-Router-Backend"]) == ("enrich", "primary")
    (search,) = sim.stats("xai")["requests"]
    assert search["path"] == "/v1/responses"
    final = sim.stats("primary")["requests"][-1]
    assert search["at"] < final["at"]
    assert "simulated search results" in asked(sim, "primary")[-1]["messages"][0]["content"]


# When the classifier fails (ADR 0004) -------------------------------------------------------------


def broken(sim: Simulator, how: str) -> None:
    if how == "nonsense":
        sim.fault("router", "html")
    elif how == "refuse":
        sim.refuse("router")
    elif how == "hang":
        sim.fault("router", "hang")
    else:
        sim.fault("router", "error_status", status=int(how))


GUESSED = [
    "Who won the election today?",
    "What are the latest news about the stock market today?",
    "What does wheat cost right now?",
    "Price of oil today?",
    "What is the weather in Oslo today?",
    "Is this novel research-level?",
    "Derive the Euler-Lagrange equations for a field theory with a nontrivial constraint.",
    PROVE,
    "Prove the Riemann hypothesis for function fields.",
    steer("Which one?", router=UNSURE),
]


def promised_route(verdict: Verdict) -> str:
    """ADR 0004: the primary, unless an earlier tier gave a label at least fallback_min_p."""
    if verdict.guess is None or verdict.p is None or verdict.p < 0.9:
        return "primary"
    return {"COMPLEX": "xai", "ENRICH": "enrich"}.get(verdict.guess, "primary")


@pytest.mark.parametrize("how", ["500", "400", "nonsense", "refuse"])
def test_a_failing_classifier_sends_to_the_cloud_only_what_was_nearly_sure(
    router: RouterProcess, sim: Simulator, learned: LearnedTier, how: str
) -> None:
    """Whatever it would have said: below fallback_min_p the cloud receives nothing."""
    broken(sim, how)
    routes = []
    for text in GUESSED:
        verdict = learned.vote(features(text))
        assert verdict.label is None, f"choose another prompt: {text}"
        answer = ask(router, text)
        routes.append(promised_route(verdict))
        assert (tier_of(answer), route_of(answer)) == ("fallback", routes[-1]), text
        if routes[-1] == "primary":
            assert answer.headers["X-Router-Label"] == "MODERATE"
        else:
            assert float(answer.headers["X-Router-P"]) >= 0.9
            assert float(answer.headers["X-Router-Threshold"]) == 0.9
    assert routes.count("primary") > 5
    assert {"xai", "enrich"} & set(routes), "choose a prompt that the learned tier is surer of"
    assert len(asked(sim, "xai")) == len(routes) - routes.count("primary")


def test_a_hanging_classifier_sends_nothing_to_the_cloud(
    router: RouterProcess, sim: Simulator
) -> None:
    """The finished answer is released when `patience` is over, by the same rule."""
    broken(sim, "hang")
    answer = ask(router, fresh("Is this novel research-level?"))
    assert (tier_of(answer), route_of(answer)) == ("patience", "primary")
    assert asked(sim, "xai") == []


@pytest.mark.parametrize(("least", "route"), [(None, "primary"), (0.75, "xai")])
def test_a_doubtful_complex_stays_local_where_reasoning_fails(
    make_router: MakeRouter, sim: Simulator, least: float | None, route: str
) -> None:
    """One token says COMPLEX at 0.79, and reasoning fails: as shipped, the prompt stays local. The
    setting is what decides that."""
    setting = {} if least is None else {"fallback_min_p": least}
    router = make_router({"cascade": {"tiers": list(ALL_TIERS), **setting}})
    wait_for_canary(router)
    sim.reset()
    sim.fault("router", "error_status", status=500, skip=1)
    answer = ask(router, steer("Which one?", router=UNSURE))
    assert (tier_of(answer), route_of(answer)) == ("fallback", route)
    assert calls(sim) == ["one_token", "reasoning"]
    assert len(asked(sim, "xai")) == (route == "xai")


def test_nothing_that_a_fallback_decided_is_remembered(
    router: RouterProcess, sim: Simulator
) -> None:
    """As soon as the classifier is back, the same ask goes where it belongs."""
    text = fresh(PROVE)
    broken(sim, "500")
    assert route_of(ask(router, text)) == "primary"
    sim.clear_faults()
    answer: dict[str, Any] = {}

    def classified() -> bool:
        answer["last"] = ask(router, text)
        return tier_of(answer["last"]) != "fallback"

    eventually(classified, 5, "the classifier does not recover")
    assert route_of(answer["last"]) == "xai"
