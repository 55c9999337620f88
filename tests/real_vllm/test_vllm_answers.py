"""What vLLM answers reaches the client as vLLM sent it; in both rounds."""

from __future__ import annotations

from typing import Any

import pytest
from harness import error_of
from real_vllm.asking import PRIMARY, TOOL, chat, chunks, events, reasons_of, text_of
from real_vllm.served import PARSERS, Engine, Tap
from real_vllm.tiny_model import THOUGHT

from bench.router_process import RouterProcess

pytestmark = pytest.mark.real_vllm

ASKS: dict[str, dict[str, Any]] = {
    "chat": chat(),
    "sampled": chat(temperature=1, seed=3),
    "two choices": chat(n=2, temperature=1, seed=5),
    "log-probabilities": chat(logprobs=True, top_logprobs=3),
    "stop": chat(stop=["e", "a", "o"]),
    "thinking": chat(chat_template_kwargs={"enable_thinking": True}),
    "schema": chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "zone", "schema": TOOL["function"]["parameters"]},
        }
    ),
    "named tool": chat(
        tools=[TOOL], tool_choice={"type": "function", "function": {"name": "get_time"}}
    ),
    "unknown field": chat(not_a_field_of_anything=1),
}


@pytest.fixture(params=list(ASKS))
def asked(request: pytest.FixtureRequest, engine: Engine) -> dict[str, Any]:
    if request.param == "named tool" and not has_parsers(engine):
        pytest.skip("vLLM calls tools only where it has a parser for them")
    return ASKS[request.param]


def has_parsers(engine: Engine) -> bool:
    return engine.flags[: len(PARSERS)] == PARSERS


def test_a_whole_answer_arrives_byte_for_byte(
    tapped_router: RouterProcess, tap: Tap, asked: dict[str, Any]
) -> None:
    tap.forget()
    response = tapped_router.post("/v1/chat/completions", asked, headers=PRIMARY)
    assert response.status_code == 200, response.text
    assert [response.content] == tap.answers()
    assert response.headers["X-Router-Backend"] == "primary"


def test_a_stream_arrives_byte_for_byte(
    tapped_router: RouterProcess, tap: Tap, asked: dict[str, Any]
) -> None:
    """All of it where the client asked for usage too."""
    tap.forget()
    body = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    response = tapped_router.post("/v1/chat/completions", body, headers=PRIMARY)
    assert response.status_code == 200, response.text
    assert [response.content] == tap.answers()
    assert events(response.content)[-1] == b"[DONE]"
    assert sorted(reasons_of(response.content)) == list(range(asked.get("n", 1)))


def test_only_the_usage_is_left_out_of_a_stream_that_did_not_ask_for_it(
    tapped_router: RouterProcess, tap: Tap
) -> None:
    tap.forget()
    response = tapped_router.post("/v1/chat/completions", chat(stream=True), headers=PRIMARY)
    [sent] = tap.answers()
    assert not any(chunk.get("usage") for chunk in chunks(response.content))
    with_choices = [event for event in events(sent) if b'"choices":[]' not in event]
    got = [event for event in events(response.content) if b'"choices":[]' not in event]
    assert got == with_choices
    # What else the usage's event says is no usage.
    envelope = {"id", "object", "created", "model", "choices", "usage"}
    more = {
        name: value
        for chunk in chunks(sent)
        if not chunk["choices"]
        for name, value in chunk.items()
        if name not in envelope and value is not None
    }
    kept = [chunk for chunk in chunks(response.content) if not chunk["choices"]]
    for name, value in more.items():
        assert [chunk.get(name) for chunk in kept] == [value]


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_is_the_one_without_the_router(
    router: RouterProcess, engine: Engine, stream: bool
) -> None:
    ask = chat(max_tokens=200)
    routed = router.post("/v1/chat/completions", {**ask, "stream": stream}, headers=PRIMARY)
    text = text_of(routed.content) if stream else routed.json()["choices"][0]["message"]["content"]
    alone = engine.post("/v1/chat/completions", {"model": engine.name, **ask}).json()
    assert len(text) == 200
    assert text == alone["choices"][0]["message"]["content"]


def test_completions(router: RouterProcess, engine: Engine) -> None:
    ask = {"prompt": ["One", "Two"], "max_tokens": 30, "temperature": 0}
    whole = router.post("/v1/completions", ask)
    assert whole.status_code == 200, whole.text
    alone = engine.post("/v1/completions", {"model": engine.name, **ask}).json()
    texts = [choice["text"] for choice in alone["choices"]]
    assert [choice["text"] for choice in whole.json()["choices"]] == texts
    streamed = router.post("/v1/completions", {**ask, "stream": True})
    assert [text_of(streamed.content, index) for index in (0, 1)] == texts
    assert events(streamed.content)[-1] == b"[DONE]"


def test_usage_is_vllms_own(router: RouterProcess) -> None:
    ask = chat(stream=True, stream_options={"include_usage": True}, max_tokens=25)
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    [usage] = [c["usage"] for c in chunks(response.content) if not c["choices"]]
    assert usage["completion_tokens"] == 25
    assert usage["total_tokens"] == usage["prompt_tokens"] + 25


# Tools and reasoning ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_where_vllm_has_a_parser(
    router: RouterProcess, engine: Engine, stream: bool
) -> None:
    ask = chat("persimmon: what is the time?", tools=[TOOL], stream=stream, max_tokens=100)
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    if not has_parsers(engine):
        assert response.status_code == 400
        assert "--enable-auto-tool-choice" in error_of(response)["message"]
        return
    assert response.status_code == 200, response.text
    if stream:
        calls = [
            call["function"]
            for chunk in chunks(response.content)
            for choice in chunk["choices"]
            for call in choice["delta"].get("tool_calls") or ()
        ]
        name = "".join(call.get("name") or "" for call in calls)
        arguments = "".join(call.get("arguments") or "" for call in calls)
        assert reasons_of(response.content) == {0: "tool_calls"}
    else:
        [choice] = response.json()["choices"]
        [call] = choice["message"]["tool_calls"]
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        assert choice["finish_reason"] == "tool_calls"
    assert (name, arguments.replace(" ", "")) == ("get_time", '{"zone":"UTC"}')


def test_a_tools_result_goes_where_its_conversation_began(
    router: RouterProcess, engine: Engine
) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'},
    }
    messages = [
        {"role": "user", "content": "What is the time?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]
    response = router.post("/v1/chat/completions", {"messages": messages, "max_tokens": 20})
    assert response.status_code == 200, response.text
    assert response.headers["X-Router-Tier"] == "conversation"


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_comes_as_vllm_parses_it(
    router: RouterProcess, engine: Engine, stream: bool
) -> None:
    ask = chat(chat_template_kwargs={"enable_thinking": True}, stream=stream)
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    assert response.status_code == 200, response.text
    if stream:
        deltas = [choice["delta"] for c in chunks(response.content) for choice in c["choices"]]
        thought = "".join(delta.get("reasoning") or "" for delta in deltas)
        said = text_of(response.content)
    else:
        message = response.json()["choices"][0]["message"]
        thought, said = message.get("reasoning") or "", message["content"]
    if has_parsers(engine):
        assert thought == THOUGHT
        assert "</think>" not in said
    else:
        assert thought == ""
        assert said.startswith(f"{THOUGHT}</think>")


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_is_said_in_the_words_that_clients_know(
    router: RouterProcess, stream: bool
) -> None:
    ask = chat("word " * 3000, stream=stream)
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["code"] == "context_length_exceeded"
    assert "context" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [{"temperature": "hot"}, {"temperature": -3}, {"logprobs": True, "top_logprobs": 999}],
    ids=lambda wrong: ",".join(wrong),
)
def test_a_refusal_is_the_clients_to_read(
    router: RouterProcess, engine: Engine, wrong: dict[str, Any], stream: bool
) -> None:
    """vLLM tells some of them in a stream, after a 200; the router makes them a 400."""
    ask = chat(**wrong)
    response = router.post("/v1/chat/completions", {**ask, "stream": stream}, headers=PRIMARY)
    alone = engine.post("/v1/chat/completions", {"model": engine.name, **ask})
    assert response.status_code == alone.status_code == 400, response.text
    error, theirs = error_of(response), alone.json()["error"]
    assert error["message"] == theirs["message"]
    assert error["param"] == theirs["param"]
    assert error["code"] != "400"  # a number as text has lost its type


def test_after_refusals_it_is_in_good_health(router: RouterProcess) -> None:
    assert router.stats()["backends"]["primary"]["breaker"] == "closed"
    response = router.post("/v1/chat/completions", chat(), headers=PRIMARY)
    assert response.status_code == 200
