"""POST /v1/systemone and /v1/decisions: the router as a decision model, and asking another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import openai
import pytest
import requests
from harness import META, REFUSED, all_free, ask, counted, error_of, eventually, route_of, steer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]
Json = dict[str, Any]
PATHS = ("/v1/systemone", "/v1/decisions")
LABELS = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")
ROUTES = ("primary", "xai", "enrich", "meta")
BOTH = pytest.mark.parametrize("path", PATHS)
CLEAR = {  # to the learned tier
    "SIMPLE": "Write a Python function that reverses a string.",
    "COMPLEX": "Design a novel distributed consensus algorithm with formal proof of safety and "
    "liveness under partial synchrony.",
}
UNSURE = "What is the best laptop?"


def request_of(path: str, given: Any, *questions: tuple[str, ...], **fields: Any) -> Json:
    """A request with a question for each tuple of options."""
    asked = [{"type": "choice", "instructions": "Which?"} for _ in questions]
    if path == "/v1/systemone":
        by_name = {
            f"q{i}": one | {"criteria": dict.fromkeys(options)}
            for i, (one, options) in enumerate(zip(asked, questions, strict=True))
        }
        return {"model": "ai-router", "state": given, "questions": by_name, **fields}
    listed = [
        one | {"name": f"q{i}", "choices": [{"value": option} for option in options]}
        for i, (one, options) in enumerate(zip(asked, questions, strict=True))
    ]
    return {"model": "ai-router", "input": given, "questions": listed, **fields}


def answers_of(path: str, answer: requests.Response) -> list[tuple[str, dict[str, float]]]:
    """The chosen option and the probabilities of each question, which add up to 1."""
    assert answer.status_code == 200, answer.text
    found = []
    for said in (
        answer.json()["answers"].values() if path == "/v1/systemone" else answer.json()["answers"]
    ):
        shares = said["probabilities"]
        if path == "/v1/decisions":
            shares = {one["value"]: one["probability"] for one in shares}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
        assert said["type"] == "choice"
        assert 0 <= said["confidence"] <= 1
        found.append((said["choice"], shares))
    return found


# Answering ----------------------------------------------------------------------------------------


@BOTH
def test_questions_are_answered_by_one_decision(
    router: RouterProcess, sim: Simulator, path: str
) -> None:
    """Labels and routes; nothing is generated, started early, or recorded."""
    text = steer("What is it?", router={"label": "COMPLEX"})
    with counted(router, 0):
        answer = router.post(path, request_of(path, text, LABELS, ROUTES, ("SIMPLE", "COMPLEX")))
    (label, shares), (route, by_route), (_, two) = answers_of(path, answer)
    assert (label, route) == ("COMPLEX", "xai")
    assert (tuple(shares), tuple(by_route)) == (LABELS, ROUTES)
    assert shares["COMPLEX"] == pytest.approx(0.9, abs=0.03)
    assert two["COMPLEX"] > 0.9
    assert answer.headers["X-Router-Tier"] == "reasoning"
    assert answer.headers["X-Router-Label"] == "COMPLEX"
    assert float(answer.headers["X-Router-Decision-Ms"]) > 0
    usage = answer.json()["usage"]
    assert (usage["input_tokens"] > 5, usage["output_tokens"]) == (True, 0)
    assert [sim.stats(role)["started"] for role in ("router", "primary", "xai")] == [1, 0, 0]
    all_free(router)


@BOTH
def test_an_input_is_a_text_or_a_conversation(router: RouterProcess, path: str) -> None:
    """The rules, which know a frontend's prompt, decide without any model."""
    parts = [{"role": "user", "content": [{"type": "input_text", "text": META}]}]
    chat = {"messages": [{"role": "user", "content": META}], "tools": []}
    for asked in (META, parts, chat):
        answer = router.post(path, request_of(path, asked, (*LABELS, "META"), LABELS))
        (label, shares), (other, _) = answers_of(path, answer)
        assert (label, shares["META"]) == ("META", pytest.approx(0.99))
        assert other in ("SIMPLE", "MODERATE")  # what serves META is local


@BOTH
def test_a_router_that_cannot_tell_says_so(make_router: MakeRouter, path: str) -> None:
    """No tier decided: all options are equally probable, and the local one is chosen."""
    router = make_router({"cascade": {"tiers": ["rules"]}})
    answer = router.post(path, request_of(path, "Prove it", LABELS, ROUTES))
    (label, shares), (route, _) = answers_of(path, answer)
    assert (label, set(shares.values()), route) == ("MODERATE", {0.25}, "primary")
    assert answer.headers["X-Router-Tier"] == "fallback"


def test_openais_library_asks_it(router: RouterProcess) -> None:
    """Its `decisions.create`, unchanged, and its exception for an error."""
    client = openai.OpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0)
    said = client.decisions.create(
        model="ai-router",
        input=[{"role": "user", "content": steer("Hm?", router={"label": "ENRICH"})}],
        questions=[
            {
                "type": "choice",
                "name": "route",
                "instructions": "Where to?",
                "choices": [{"value": "primary"}, {"value": "enrich", "description": "news"}],
            }
        ],
    )
    answer: Any = said.answers[0]
    assert (answer.type, answer.name, answer.choice) == ("choice", "route", "enrich")
    with pytest.raises(openai.BadRequestError, match="primary, xai, enrich, meta"):
        client.decisions.create(
            model="ai-router",
            input="Hm?",
            questions=[
                {
                    "type": "choice",
                    "instructions": "?",
                    "choices": [{"value": True}, {"value": "x"}],
                }
            ],
        )


# Refusing -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        ("billing", "support"),
        ("SIMPLE", "xai"),
        ("SIMPLE",),
        (),
        ("simple", "complex"),
        ("PRIMARY",),
    ],
    ids=str,
)
def test_other_options_are_refused_with_those_that_there_are(
    router: RouterProcess, sim: Simulator, path: str, options: tuple[str, ...]
) -> None:
    """Before anything is asked."""
    answer = router.post(path, request_of(path, "Hm?", LABELS, options))
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (400, "unknown_option")
    assert "SIMPLE, MODERATE, COMPLEX, ENRICH, META" in error["message"]
    assert "primary, xai, enrich, meta" in error["message"]
    assert error["param"].startswith("questions")
    assert sim.stats("router")["started"] == 0


@BOTH
def test_mistakes_are_named(router: RouterProcess, path: str) -> None:
    field = "state" if path == "/v1/systemone" else "input"
    cases: list[tuple[Json, int, str]] = [
        (request_of(path, "Hm?", LABELS, model="gpt-6-luna"), 404, "model"),
        (request_of(path, "Hm?", LABELS, model=7), 400, "model"),
        (request_of(path, "Hm?"), 400, "questions"),
        (request_of(path, 7, LABELS), 400, field),
        (request_of(path, [{"role": "user", "content": 7}], LABELS), 400, f"{field}[0].content"),
        (request_of(path, ["Hm?"], LABELS), 400, f"{field}[0]"),
    ]
    for payload, status, param in cases:
        answer = router.post(path, payload)
        assert (answer.status_code, error_of(answer)["param"]) == (status, param), payload
        assert "messages" not in error_of(answer)["message"] or param == field
    assert requests.get(router.url + path, timeout=5).status_code == 405


@BOTH
def test_a_key_is_needed_and_charged(make_router: MakeRouter, path: str) -> None:
    """As by the other endpoints for inference."""
    digest = hashlib.sha256(b"k" * 40).hexdigest()
    keys = {"few": {"sha256": digest, "requests_per_minute": 2}}
    router = make_router({"keys": keys}, warm=False)
    payload = request_of(path, META, LABELS)
    assert router.post(path, payload).status_code == 401
    headers = {"Authorization": f"Bearer {'k' * 40}"}
    codes = [router.post(path, payload, headers=headers).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


@BOTH
def test_limits_apply(make_router: MakeRouter, path: str) -> None:
    """Of size and time."""
    router = make_router({"server": {"max_body_mb": 0.1, "max_json_elements": 20_000}}, warm=False)
    for asked in ("x" * 200_000, [1] * 30_000):
        assert router.post(path, request_of(path, asked, LABELS)).status_code == 413
    slow = steer("Hm?", router={"ttft_ms": 3000})
    answer = router.post(path, request_of(path, slow, LABELS), headers={"X-Router-Timeout": "0.2"})
    assert (answer.status_code, error_of(answer)["code"]) == (504, "client_deadline_exceeded")


_NAMES = ["type", "name", "instructions", "criteria", "choices", "value", "messages", "role"]
_NAMES += ["content", "text", "tools", "output", "SIMPLE", "COMPLEX", "xai", "primary"]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["choice", "noul", *LABELS, *ROUTES, "ai-router", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=14,
)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(PATHS),
    st.dictionaries(
        st.sampled_from(["model", "state", "input", "questions", "stream"]), _VALUES, max_size=5
    ),
)
def test_odd_bodies_are_the_clients_fault(router: RouterProcess, path: str, payload: Json) -> None:
    """Never a 500."""
    answer = router.post(path, payload)
    assert answer.status_code < 500, (payload, answer.text)


@BOTH
@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'{"questions": ' + b"[" * 5000 + b"]" * 5000 + b"}", b"\xff\xfe{"]
)
def test_what_is_no_json_is_refused(router: RouterProcess, path: str, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.post(router.url + path, data=raw, headers=headers, timeout=10)
    assert answer.status_code == 400
    error_of(answer)


# Two routers --------------------------------------------------------------------------------------


def asking(url: str, endpoint: str, **settings: Any) -> Json:
    """The configuration of a router that asks a decision model at that URL."""
    return {
        "backends": {"decider": {"url": url, "kind": "openai"}},
        "cascade": {
            "tiers": ["rules", "cache", "decision_model"],
            "decision_model": {"backend": "decider", "endpoint": endpoint, **settings},
        },
    }


@pytest.mark.parametrize("endpoint", ["systemone", "decisions"])
def test_a_router_asks_another_one(make_router: MakeRouter, sim: Simulator, endpoint: str) -> None:
    """Which decides with its instant tiers; the first takes its label and probability, and
    remembers them."""
    second = make_router({"cascade": {"tiers": ["rules", "learned"]}})
    first = make_router(asking(second.url, endpoint, min_p={"complex": 0.9}))
    path = f"/v1/{endpoint}"
    for label, text in CLEAR.items():
        (_, shares), *_ = answers_of(path, second.post(path, request_of(path, text, LABELS)))
        share = shares["SIMPLE"] + shares["MODERATE"] if label == "SIMPLE" else shares[label]
        explained = first.post("/api/route", {"messages": [{"role": "user", "content": text}]})
        verdict = explained.json()["verdicts"][-1]
        assert verdict["tier"] == "decision_model"
        assert verdict["label"] == label, explained.text
        assert verdict["p"] == pytest.approx(share)
        assert ask(first, text).headers["X-Router-Tier"] == "cache"
    explained = first.post("/api/route", {"messages": [{"role": "user", "content": UNSURE}]})
    verdict = explained.json()["verdicts"][-1]
    assert (verdict["label"], verdict["threshold"]) == (None, 0.96)
    assert verdict["reason"].startswith("unsure: SIMPLE at 0.")
    assert sim.stats("router")["started"] == 0
    all_free(first)
    all_free(second)


def test_one_that_cannot_tell_decides_nothing(make_router: MakeRouter) -> None:
    """The first router's tier abstains below its threshold, and the request stays local."""
    second = make_router({"cascade": {"tiers": ["rules"]}})
    first = make_router(asking(second.url, "systemone"))
    answer = ask(first, "Prove that every finite group of odd order is solvable.")
    assert (answer.headers["X-Router-Tier"], route_of(answer)) == ("fallback", "primary")
    explained = first.post("/api/route", {"messages": [{"role": "user", "content": "Prove it"}]})
    assert explained.json()["verdicts"][-1]["reason"].startswith("unsure: ")


def test_without_its_decision_model_a_router_answers_locally(make_router: MakeRouter) -> None:
    """An error of the tier sends nothing to the cloud."""
    first = make_router(asking(REFUSED, "decisions"))
    for _ in range(3):
        answer = ask(first, "Prove that every finite group of odd order is solvable.")
        assert (answer.status_code, route_of(answer)) == (200, "primary")
        assert answer.headers["X-Router-Tier"] == "fallback"


def test_routers_that_ask_each_other_come_to_an_end(make_router: MakeRouter) -> None:
    """By the hops that their requests state, not by a timeout."""
    second = make_router(asking(REFUSED, "systemone", timeout=20))
    first = make_router(asking(second.url, "systemone", timeout=20))
    text = second.folder.joinpath("router.yaml").read_text(encoding="utf-8")
    second.folder.joinpath("router.yaml").write_text(
        text.replace(REFUSED, first.url), encoding="utf-8"
    )
    assert second.post("/admin/reload", {}).status_code == 200

    def reached() -> bool:
        answer = ask(first, "Prove it, please")
        assert answer.headers["X-Router-Tier"] == "fallback"
        return answer.elapsed.total_seconds() < 5

    eventually(reached)
    answer = first.post("/api/route", {"messages": [{"role": "user", "content": "Prove it"}]})
    assert answer.elapsed.total_seconds() < 5
    assert answer.json()["verdicts"][-1]["reason"].startswith("unsure: ")
