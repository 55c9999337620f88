"""Backends that speak the Responses API: here another router, which has the same API."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from harness import REFUSED, all_free, counted, error_of, is_whole, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests.responses_events import response_of

Json = dict[str, Any]


@pytest.fixture
def chained(make_router: Any, router: RouterProcess) -> RouterProcess:
    """A router whose cloud is the other one, which gets the requests as they are."""
    there = {"kind": "openai", "url": router.url, "model": "ai-router/xai", "responses": "pass"}
    config = {"backends": {"xai": {**there, "local": True}}}
    made: RouterProcess = make_router(config=config, backends=("router", "primary"))
    return made


def send(router: RouterProcess, given: Any = "Hello", **fields: Any) -> requests.Response:
    payload = {"model": "ai-router/xai", "input": given, **fields}
    return router.post("/v1/responses", payload)


def text_of(response: Json) -> str:
    text: str = response["output"][-1]["content"][0]["text"]
    return text


@pytest.mark.parametrize("stream", [False, True])
def test_its_answer_is_passed_on(chained: RouterProcess, stream: bool) -> None:
    """With the headers and the record of any chat; hosted tools are not left out."""
    custom = {"type": "custom", "name": "patch"}
    with counted(chained, 1) as lines:
        answer = send(chained, stream=stream, tools=[{"type": "web_search"}, custom])
    response = response_of(answer.content) if stream else answer.json()
    assert is_whole(text_of(response))
    assert response["tools"] == [custom]
    assert (answer.headers["X-Router-Route"], answer.headers["X-Router-Backend"]) == ("xai", "xai")
    assert "X-Router-Adjusted" not in answer.headers  # the other router's is its own
    assert "route=xai" in lines[0]
    document = session_file(chained, answer.headers["X-Router-Session"])
    assert document["client_messages"][-1]["content"] == "Hello"
    all_free(chained)


def test_it_is_decided_like_any_chat(chained: RouterProcess) -> None:
    """Other backends get translations; what only the backend can read is its own to judge."""
    hard = send(chained, steer("Hm?", router={"label": "COMPLEX"}), model="ai-router")
    easy = send(chained, model="ai-router")
    assert (hard.headers["X-Router-Backend"], hard.json()["model"]) == ("xai", "ai-router/xai")
    assert (easy.headers["X-Router-Backend"], easy.json()["model"]) == ("primary", "ai-router")
    lost = send(chained, previous_response_id="resp_1")
    assert (lost.status_code, error_of(lost)["code"]) == (400, "previous_response_not_found")
    reference = send(chained, [{"type": "item_reference", "id": "msg_1"}])
    assert (reference.status_code, error_of(reference)["param"]) == (400, "input.0")


def test_its_failures(chained: RouterProcess, sim: Simulator, make_router: Any) -> None:
    """Its errors are its own; one that is not there is a 502."""
    sim.fault("xai", "error_status", status=429)
    assert send(chained).status_code == 429
    sim.clear_faults("xai")
    cut = send(chained, steer("Hello", xai={"fault": "cut"}), stream=True)
    assert response_of(cut.content, cut=True)["status"] == "failed"
    config = {"backends": {"primary": {"responses": "pass"}}}
    alone = make_router(config=config, urls={"primary": REFUSED}, warm=False)
    down = send(alone, model="ai-router/primary")
    assert (down.status_code, error_of(down)["code"]) == (502, "upstream_unreachable")


def test_a_conversation_stays_there(chained: RouterProcess) -> None:
    """By the client's name for it, and by what was said."""
    hard = steer("Hm?", router={"label": "COMPLEX"})
    first = send(chained, hard, model="ai-router", prompt_cache_key="c1")
    assert first.headers["X-Router-Session-Policy"] == "new"
    said = [{"role": "user", "content": hard}, {"role": "assistant", "content": "So."},
            {"role": "user", "content": "Yes, do it."}]  # fmt: skip
    named = send(chained, "Yes, do it.", model="ai-router", prompt_cache_key="c1")
    told = send(chained, said, model="ai-router")
    for answer in (named, told):
        assert answer.headers["X-Router-Session-Policy"] == "kept; inherited"
        assert answer.headers["X-Router-Tier"] == "conversation"
        assert answer.headers["X-Router-Backend"] == "xai"
    documents = [session_file(chained, a.headers["X-Router-Session"]) for a in (first, named)]
    assert documents[0]["conversation"] == documents[1]["conversation"]


@pytest.mark.parametrize(("level", "effort"), [("low", "low"), ("off", "none")])
def test_the_models_name_says_how_much_to_reason(
    chained: RouterProcess, level: str, effort: str
) -> None:
    """Of a backend that gets the request as it is, and of one that gets a translation."""
    passed = send(chained, model=f"ai-router/xai:{level}", reasoning={"summary": "auto"})
    assert passed.json()["reasoning"] == {"summary": "auto", "effort": effort}
    assert f"sent as reasoning.effort={effort}" in passed.headers["X-Router-Adjusted"]
    translated = send(chained, model=f"ai-router:{level}")
    assert translated.headers["X-Router-Backend"] == "primary"
    assert f"thinking={level} from the model name" in translated.headers["X-Router-Adjusted"]
