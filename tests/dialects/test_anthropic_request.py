"""Requests to backends that speak Anthropic's Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.anthropic import ANTHROPIC
from airouter.dialects.messages_request import chat
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import BadRequest
from tests import claude_code

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "Hi"}


def sent(**body: Any) -> Json:
    path, request = ANTHROPIC.request("chat", {"model": "m", "messages": [USER], **body})
    assert path == "/v1/messages"
    assert request.pop("cache_control") == {"type": "ephemeral"}
    return request


def blocks(*said: str) -> list[Json]:
    return [{"type": "text", "text": text} for text in said]


def test_a_request() -> None:
    assert sent() == {
        "model": "m", "max_tokens": 8192, "messages": [{"role": "user", "content": blocks("Hi")}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": -1}, {"max_tokens": 5}),
        ({"temperature": 1.5, "top_p": 0.5}, {"temperature": 1, "top_p": 0.5}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"user": "u", "seed": 1, "n": 1}, {"metadata": {"user_id": "u"}}),
        ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"thinking": {"type": "disabled"}}),
        ({"response_format": {"type": "json_object"}}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}}},
         {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}),
    ],
)  # fmt: skip
def test_parameters(given: Json, expected: Json) -> None:
    assert {**sent(), **expected} == sent(**given)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "a"}}},
         {"type": "tool", "name": "a"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)  # fmt: skip
def test_tools(choice: Json, expected: Any) -> None:
    tools = [{"type": "function", "function": {"name": "a", "description": "d"}}]
    request = sent(tools=tools, **choice)
    assert request["tools"] == [
        {"name": "a", "description": "d", "input_schema": {"type": "object"}}
    ]
    assert request.get("tool_choice") == expected


def test_the_conversation() -> None:
    """One role after the other; nothing that is empty."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    link = {"type": "image_url", "image_url": "https://example.org/a.png"}
    call = {"id": "x", "type": "function", "function": {"name": "a", "arguments": '{"b": 1}'}}
    messages = [
        {"role": "system", "content": "A"}, {"role": "developer", "content": "B"},
        {"role": "user", "content": [{"type": "text", "text": "C"}, image, link]},
        {"role": "system", "content": "D"},
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "y"}]},
        {"role": "tool", "tool_call_id": "x", "content": "E"},
        {"role": "tool", "tool_call_id": "y", "content": ""},
        {"role": "assistant", "content": " "}, {"role": "user", "content": "F"},
    ]  # fmt: skip
    request = sent(messages=messages)
    assert request["system"] == "A\n\nB"
    asked, called, answered = request["messages"]
    assert [block["type"] for block in asked["content"]] == ["text", "image", "image", "text"]
    assert asked["content"][1]["source"] == {
        "type": "base64", "media_type": "image/png", "data": "iVBO"
    }  # fmt: skip
    assert asked["content"][2]["source"]["url"] == "https://example.org/a.png"
    assert called["content"][0] == {"type": "tool_use", "id": "x", "name": "a", "input": {"b": 1}}
    assert answered["content"] == [
        {"type": "tool_result", "tool_use_id": "x", "content": blocks("E")},
        {"type": "tool_result", "tool_use_id": "y"},
        *blocks("F"),
    ]


@pytest.mark.parametrize("part", [{"type": "input_audio"}, {"type": "image_url", "image_url": 1}])
def test_what_cannot_be_sent(part: Json) -> None:
    with pytest.raises(BadRequest, match=r"messages\[0\].content\[0\]"):
        sent(messages=[{"role": "user", "content": [part]}])
    with pytest.raises(BadRequest):
        ANTHROPIC.request("embeddings", {"input": "a"})


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": "x"},
        {"tools": [1]},
        {"tools": [{"function": "a"}]},
        {"messages": [{"role": "assistant", "tool_calls": [1]}]},
        {"messages": [{"role": "assistant", "tool_calls": 5}]},
        {"response_format": {"type": "json_schema", "json_schema": 5}},
    ],
)
def test_what_has_the_wrong_type_is_the_clients_error(body: Json) -> None:
    with pytest.raises(BadRequest, match="wrong type"):
        sent(**body)


def test_what_claude_code_sends_arrives() -> None:
    """As it was, but for what chat completions cannot express."""
    given = claude_code.tool_result(claude_code.turn())
    body = parse_request("chat", chat(given, [])).payload
    request = sent(**body)
    for name in ("model", "max_tokens", "tools", "stream"):
        assert request[name] == given[name]
    assert request["system"] == "\n\n".join(block["text"] for block in given["system"])
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert request["messages"][1] == given["messages"][2]
    assert request["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"
