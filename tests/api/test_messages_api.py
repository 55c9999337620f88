"""Anthropic's Messages API over HTTP: what its library does not show."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from harness import asked, counted, is_whole, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from simulator.text import MESSAGE_TOKENS
from tests import claude_code
from tests.dialects.anthropic_events import events_of, message_of

Json = dict[str, Any]


def body(text: str = "Hello", **fields: Any) -> Json:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-opus-4-8", "max_tokens": 99, "messages": messages, **fields}


def send(router: RouterProcess, payload: Any, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{router.url}/v1/messages?beta=true"
    return requests.post(url, json=payload, headers=names, timeout=20)


def test_a_message_is_routed_and_recorded_like_any_chat(
    router: RouterProcess, sim: Simulator
) -> None:
    """Decided, streamed, with the headers that explain it; a model that is not known means the
    virtual one."""
    with counted(router, 1) as lines:
        text = steer("Hm?", router={"label": "COMPLEX"})
        answer = send(router, body(text, stream=True))
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["X-Router-Route"], answer.headers["X-Router-Backend"]) == ("xai", "xai")
    assert "model=claude-opus-4-8 read as ai-router" in answer.headers["X-Router-Adjusted"]
    message = message_of(answer.content)
    assert is_whole(message["content"][0]["text"])
    assert message["model"] == "claude-opus-4-8"
    assert answer.headers["request-id"] == f"req_{message['id'][4:]}"
    assert "route=xai" in lines[0]
    document = session_file(router, answer.headers["X-Router-Session"])
    assert document["client_messages"][-1]["content"] == text


def test_what_claude_code_sends(router: RouterProcess, sim: Simulator) -> None:
    """A title, a turn, a tool's result: answered, and said what was left out."""
    answers = [send(router, claude_code.title(), **claude_code.HEADERS)]
    turn = claude_code.turn()
    answers.append(send(router, turn, X_Router_Route="xai", **claude_code.HEADERS))
    answers.append(send(router, claude_code.tool_result(turn), **claude_code.HEADERS))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert message_of(answer.content)["stop_reason"] == "end_turn"
        assert "anthropic-beta left out" in answer.headers["X-Router-Adjusted"]
    assert "context_management left out" in answers[1].headers["X-Router-Adjusted"]
    # The billing line has changed, and the tool conversation is known all the same.
    assert answers[2].headers["X-Router-Tier"] == "conversation"
    assert answers[2].headers["X-Router-Backend"] == "xai"


def test_the_billing_line_does_not_defeat_the_prefix_cache(
    router: RouterProcess, sim: Simulator
) -> None:
    """Twenty turns with another line each: what the turn before had is cached. The vendor gets
    what the client sent."""
    turn = claude_code.turn(model="ai-router/primary", stream=False)
    before = 0
    for number in range(20):
        answer = send(router, turn)
        usage = answer.json()["usage"]
        assert "billing line left out" in answer.headers["X-Router-Adjusted"]
        if before:
            assert usage["cache_read_input_tokens"] >= 0.98 * before
        # The simulator's cache holds texts, without what a template puts around messages.
        around = MESSAGE_TOKENS * (len(turn["messages"]) + 1)
        before = usage["input_tokens"] + usage["cache_read_input_tokens"] - around
        turn = claude_code.tool_result(turn, f"toolu_{number}", f"line {number}\n" * 100)
    line, rest = claude_code.billing(), claude_code.text("You are.")
    for role, removed in (("primary", True), ("xai", False)):
        sim.reset(role)
        answer = send(router, body(model=f"ai-router/{role}", system=[line, rest]))
        assert ("billing" in answer.headers.get("X-Router-Adjusted", "")) is removed
        system = asked(sim, role)[-1]["messages"][0]["content"]
        assert (line["text"] not in system) is removed
        assert "You are." in system


def test_model_aliases(make_router: Any, sim: Simulator) -> None:
    """Patterns give names to routes, the first that matches; elsewhere names stay unknown."""
    config = {"model_aliases": {"*haiku*": "primary", "*opus*": "xai", "claude-*": "auto"}}
    router = make_router(config=config)
    for model, route, tier in (
        ("claude-haiku-4-5", "primary", "explicit"),
        ("claude-opus-4-8", "xai", "explicit"),
        ("claude-opus-haiku", "primary", "explicit"),
        ("claude-sonnet-5", "primary", "reasoning"),
        ("gpt-17", "primary", "reasoning"),
    ):
        answer = send(router, body(model=model))
        assert answer.json()["model"] == model
        found = answer.headers["X-Router-Route"], answer.headers["X-Router-Tier"]
        assert found == (route, tier), model
    for path, name in (("/v1/chat/completions", "claude-haiku-4-5"), ("/api/chat", "gpt-17")):
        assert router.post(path, body(model=name)).status_code == 404


def test_images_in_results_and_errors_of_tools(router: RouterProcess, sim: Simulator) -> None:
    """Reach the backend in the result's message."""
    use = {"type": "tool_use", "id": "x", "name": "look", "input": {}}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    results = [
        {"type": "tool_result", "tool_use_id": "x", "content": [image], "is_error": False},
    ]
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": results},
    ]
    answer = send(router, body(messages=messages, model="ai-router/primary"))
    assert is_whole(answer.json()["content"][0]["text"])
    last = asked(sim, "primary")[-1]["messages"][-1]
    assert (last["role"], last["content"][0]["type"]) == ("tool", "image_url")


@pytest.mark.parametrize(
    ("method", "path", "payload", "status", "kind", "said"),
    [
        ("POST", "/v1/messages", {"model": "m"}, 400, "invalid_request_error", "messages"),
        ("POST", "/v1/messages", {**body(), "max_tokens": "x"}, 400, "invalid_request_error",
         "max_tokens"),
        ("POST", "/v1/messages", {**body(), "model": 1}, 400, "invalid_request_error", "model"),
        ("POST", "/v1/messages", [1], 400, "invalid_request_error", "JSON object"),
        ("GET", "/v1/messages", None, 405, "invalid_request_error", "POST"),
        ("POST", "/v1/messages/batches", body(), 404, "not_found_error", "count_tokens"),
        ("POST", "/v1/messages/count_tokens", {}, 400, "invalid_request_error", "messages"),
    ],
)  # fmt: skip
def test_errors(
    router: RouterProcess, method: str, path: str, payload: Any, status: int, kind: str, said: str
) -> None:
    """In Anthropic's form, with the status of the router's own."""
    answer = requests.request(method, router.url + path, json=payload, timeout=20)
    error = answer.json()
    assert (answer.status_code, error["type"], error["error"]["type"]) == (status, "error", kind)
    assert said in error["error"]["message"]
    assert set(error["error"]) == {"type", "message"}


def test_a_cut_answer_ends_with_an_error_event(router: RouterProcess, sim: Simulator) -> None:
    text = steer("Hello", xai={"fault": "cut"})
    events = events_of(send(router, body(text, model="ai-router/xai", stream=True)).content)
    assert [event["type"] for event in events[:3]] == [
        "message_start", "ping", "content_block_start"
    ]  # fmt: skip
    assert (events[-1]["type"], events[-1]["error"]["type"]) == ("error", "api_error")


@pytest.mark.parametrize("path", ["/messages", "//v1/messages", "/v1/v1/messages", "/v1/messages/"])
def test_paths(router: RouterProcess, path: str) -> None:
    answer = requests.post(router.url + path, json=body(model="ai-router/primary"), timeout=20)
    assert answer.json()["type"] == "message"


def test_a_key_in_either_header_and_no_backend(make_router: Any) -> None:
    """A route that nobody serves is 529, for which clients wait."""
    router = make_router(env={"API_KEY": "right"}, backends=("primary",))
    for headers, status in (
        ({"x_api_key": "right"}, 200),
        ({"x_api_key": "wrong"}, 401),
        ({"Authorization": "Bearer right"}, 200),
        ({"Authorization": "Bearer wrong", "x_api_key": "right"}, 200),
        ({}, 401),
    ):
        answer = send(router, body(model="ai-router/primary"), **headers)
        assert answer.status_code == status, headers
        if status == 401:
            assert answer.json()["error"]["type"] == "authentication_error"
    answer = send(router, body(model="ai-router/xai"), x_api_key="right")
    assert (answer.status_code, answer.json()["error"]["type"]) == (529, "overloaded_error")


def test_models_in_anthropics_form(router: RouterProcess) -> None:
    """For whoever sends a version; errors as well."""
    headers = {"anthropic-version": "2023-06-01"}
    page = requests.get(f"{router.url}/v1/models", headers=headers, timeout=20).json()
    assert (page["has_more"], page["first_id"]) == (False, "ai-router")
    assert page["data"][0]["type"] == "model"
    assert "object" not in page
    lost = requests.get(f"{router.url}/v1/models/gpt-17", headers=headers, timeout=20)
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "not_found_error")
    assert router.get("/v1/models").json()["object"] == "list"


@pytest.mark.parametrize("stream", [False, True])
def test_a_backend_that_speaks_messages(
    make_router: Any, router: RouterProcess, sim: Simulator, stream: bool
) -> None:
    """Of the kind `anthropic`: another router, which has the same API. Its errors are its own."""
    there = {"kind": "anthropic", "url": router.url, "model": "ai-router/xai", "local": True}
    chained = make_router(config={"backends": {"xai": there}}, backends=("router", "primary"))
    tools = [claude_code.tool("weather")]
    text = "Use the tool: how is the weather?"
    answer = send(chained, body(text, model="ai-router/xai", stream=stream, tools=tools))
    assert answer.headers["X-Router-Backend"] == "xai", answer.text
    message = message_of(answer.content) if stream else answer.json()
    assert (message["stop_reason"], message["content"][-1]["name"]) == ("tool_use", "weather")
    assert message["usage"]["input_tokens"] > 0
    chat = {"model": "ai-router/xai", "messages": [{"role": "user", "content": "Hello"}]}
    answer = chained.post("/v1/chat/completions", chat)
    assert is_whole(answer.json()["choices"][0]["message"]["content"])
    bad = send(chained, body(model="ai-router/xai", max_tokens=5, temperature="x"))
    assert (bad.status_code, bad.json()["error"]["type"]) == (400, "invalid_request_error")
    sim.fault("xai", "error_status", status=429)
    assert send(chained, body(model="ai-router/xai", stream=stream)).status_code == 429
