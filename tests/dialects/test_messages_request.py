"""Requests in the format of Anthropic's Messages API: parameters and tools."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.messages_request import _READ, chat, stop_sequences, thinks
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import BadRequest
from tests import claude_code

Json = dict[str, Any]
TOOL: Json = {"name": "a", "description": "d", "input_schema": {"type": "object"}}
SERVERS: Json = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def request(**fields: Any) -> Json:
    return {
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **fields
    }  # fmt: skip


def translated(**fields: Any) -> tuple[Json, list[str]]:
    """What a field becomes, and the notes."""
    notes: list[str] = []
    body = chat(request(**fields), notes)
    for name in ("model", "messages", "max_tokens"):
        del body[name]
    return body, notes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0, "top_k": 3}, {"temperature": 0, "top_k": 3}),
        ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
        ({"stop_sequences": []}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False}, {}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"output_config": {"effort": "high"}}, {}),
        ({"min_p": 0.1, "seed": 1}, {"min_p": 0.1, "seed": 1}),
        ({"context_management": {}, "container": None}, {}),
    ],
)  # fmt: skip
def test_parameters(given: Json, expected: Json) -> None:
    assert translated(**given) == (expected, [])


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"context_management": {"edits": [1]}}, "context_management left out"),
        ({"service_tier": "auto"}, "service_tier left out"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers left out"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}},
         "thinking.budget_tokens left out"),
        ({"tools": [SERVERS]}, "tool web_search_20250305 left out"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_noted(given: Json, note: str) -> None:
    assert translated(**given) == ({}, [note])


def test_effort_that_no_backend_knows() -> None:
    body, notes = translated(output_config={"effort": "max"})
    assert (body, notes) == ({"reasoning_effort": "high"}, ["effort=max read as high"])


def test_a_long_user_id_is_shortened_to_the_same_each_time() -> None:
    """OpenAI's servers accept 64 characters."""
    ids = [translated(metadata={"user_id": "u" * n})[0]["user"] for n in (65, 65, 66)]
    assert {len(one) for one in ids} == {64}
    assert ids[0] == ids[1] != ids[2]


def test_tools() -> None:
    strict = {**TOOL, "type": "custom", "name": "b", "strict": True}
    body, notes = translated(tools=[{**TOOL, "cache_control": {}}, SERVERS, strict])
    functions = [tool["function"] for tool in body["tools"]]
    assert functions == [
        {"name": "a", "description": "d", "parameters": {"type": "object"}},
        {"name": "b", "description": "d", "parameters": {"type": "object"}, "strict": True},
    ]
    assert notes == ["tool web_search_20250305 left out"]
    assert translated(tools=[]) == ({}, [])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "a"},
         {"tool_choice": {"type": "function", "function": {"name": "a"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True},
         {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool(choice: Json, expected: Json) -> None:
    body, _ = translated(tools=[TOOL], tool_choice=choice)
    del body["tools"]
    assert body == expected


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema(name: str) -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    body, _ = translated(**{name: {"format": wanted} if name == "output_config" else wanted})
    named = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert body == {"response_format": {"type": "json_schema", "json_schema": named}}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"tools": {}}, None),
        ({"tools": "a"}, "tools"),
        ({"tools": [1]}, "tools.0"),
        ({"tools": [{"name": "a"}]}, "tools.0.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "b"}}, "tool_choice.name"),
        ({"tools": [SERVERS], "tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"type": "some"}}, "thinking.type"),
        ({"output_config": {"effort": "some"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format"),
    ],
)
def test_what_is_refused(given: Json, param: str | None) -> None:
    """With the name of the parameter."""
    if param is None:
        assert translated(**given) == ({}, [])
        return
    with pytest.raises(BadRequest, match=f"^{param}: ") as refused:
        chat(request(**given), [])
    assert refused.value.param == param


def test_counting_needs_no_limit() -> None:
    payload = request(max_tokens=None)
    assert "max_tokens" not in chat(payload, [], counting=True)


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "adaptive"}, True),
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive", "display": "omitted"}, False),
        ("adaptive", False),
    ],
)
def test_who_wants_to_see_reasoning(thinking: Any, shown: bool) -> None:
    assert thinks({"thinking": thinking}) is shown


def test_stop_sequences_as_far_as_they_are_texts() -> None:
    assert stop_sequences({"stop_sequences": ["a", 1]}) == ("a",)
    assert stop_sequences({"stop_sequences": "a"}) == ()


@pytest.mark.parametrize("form", ["turn", "tool_result", "title"])
def test_what_claude_code_sends(form: str) -> None:
    """Passes, with a note of what has no meaning elsewhere; nothing of the client's is edited."""
    payload = claude_code.title() if form == "title" else claude_code.turn()
    if form == "tool_result":
        payload = claude_code.tool_result(payload)
    before, notes = repr(payload), list[str]()
    sent = parse_request("chat", chat(payload, notes))
    assert repr(payload) == before
    late = ["later system messages sent as reminders", "context_management left out"]
    assert notes == ([] if form == "title" else late)
    assert "cache_control" not in repr(sent.payload)
    assert [message["role"] for message in sent.messages] == {
        "title": ["system", "user"],
        "turn": ["system", "user"],
        "tool_result": ["system", "user", "assistant", "tool"],
    }[form]
    assert (sent.stream, sent.wants_usage, sent.max_tokens) == (True, True, 32000)
    assert sent.has_tools is (form != "title")
    assert ("response_format" in sent.payload) is (form == "title")


SCALARS = st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "a", "text"])
KINDS = st.sampled_from([
    "text", "image", "document", "search_result", "tool_use", "tool_result", "thinking",
    "redacted_thinking", "server_tool_use", "hologram", "custom", "base64", "url", "content",
    "json_schema", "tool", "any", "enabled", "disabled",
])  # fmt: skip
NAMES = st.sampled_from([
    "text", "source", "content", "title", "tool_use_id", "id", "name", "input", "is_error",
    "thinking", "data", "url", "input_schema", "schema", "format", "effort", "role", "user_id",
])  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(lambda kind, rest: {"type": kind, **rest}, KINDS, st.dictionaries(NAMES, inner))
    ),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({
        "role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": ANYTHING
    })
    | ANYTHING,
    max_size=3,
)  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(sorted(_READ - {"messages"})), ANYTHING, max_size=4)


@given(MESSAGES, FIELDS)
@settings(max_examples=60, deadline=None)
def test_anything_is_translated_or_refused(messages: list[Any], fields: Json) -> None:
    with suppress(BadRequest):
        body = chat(request(messages=messages, **fields), [])
        parse_request("chat", {**body, "model": "m"})
