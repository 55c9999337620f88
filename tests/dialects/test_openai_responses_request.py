"""Requests in the format of the Responses API: parameters."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_request import parse_request
from airouter.dialects.openai_responses_request import _READ, _REFUSED, chat, items_of
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.errors import BadRequest
from tests import codex

Json = dict[str, Any]
TOOL: Json = {"type": "function", "name": "a", "parameters": {"type": "object"}}


def translated(**fields: Any) -> tuple[Json, list[str]]:
    """What a field becomes, and the notes."""
    notes: list[str] = []
    body = chat({"model": "m", "input": "Hi", **fields}, Names(), notes)
    for name in ("model", "messages"):
        del body[name]
    return body, notes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"stream": True, "stream_options": {"include_obfuscation": False}},
         {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False, "store": True, "truncation": "disabled", "service_tier": "auto"}, {}),
        ({"metadata": {"a": "b"}}, {}),
        ({"metadata": {"task": "title"}}, {"metadata": {"task": "title"}}),
        ({"user": "u", "prompt_cache_key": "k"}, {"user": "u"}),
        ({"client_metadata": {"a": 1}, "include": ["reasoning.encrypted_content"]}, {}),
        ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"effort": "none"}}, {"reasoning": {"effort": "none"}}),
        ({"reasoning": {"effort": None}}, {}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}},
         {"response_format": {"type": "json_object"}}),
        ({"min_p": 0.1, "seed": 1}, {"min_p": 0.1, "seed": 1}),
        ({"background": False, "previous_response_id": None, "moderation": {}}, {}),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ],
)  # fmt: skip
def test_parameters(given: Json, expected: Json) -> None:
    assert translated(**given) == (expected, [])


@pytest.mark.parametrize(
    ("given", "expected", "note"),
    [
        ({"reasoning": {"summary": "auto"}}, {},
         "reasoning.summary left out: reasoning is shown as it is"),
        ({"text": {"verbosity": "low"}}, {}, "text.verbosity left out"),
        ({"truncation": "auto"}, {}, "truncation left out"),
        ({"service_tier": "flex"}, {}, "service_tier left out"),
        ({"include": ["message.output_text.logprobs"]}, {},
         "message.output_text.logprobs left out"),
        ({"moderation": {"model": "x"}}, {}, "moderation left out"),
        ({"tools": [{"type": "local_shell"}]}, {}, "tool local_shell left out"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_noted(given: Json, expected: Json, note: str) -> None:
    assert translated(**given) == (expected, [note])


def test_a_schema() -> None:
    schema = {"type": "object"}
    given = {"type": "json_schema", "name": "n", "schema": schema, "strict": True,
             "description": None}  # fmt: skip
    body, _ = translated(text={"format": given})
    wanted = {"name": "n", "schema": schema, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": wanted}


def test_tools_of_the_request_and_of_items() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [{**TOOL, "name": "b"}]}
    notes: list[str] = []
    given = [{"role": "user", "content": "Hi"}, more]
    body = chat({"input": given, "tools": [TOOL], "parallel_tool_calls": False}, Names(), notes)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "b"]
    assert (body["parallel_tool_calls"], notes, len(body["messages"])) == (False, [], 1)


def test_codexs_request() -> None:
    """One system message, both of the user's, twelve functions."""
    notes: list[str] = []
    body = chat(codex.tool_result(codex.turn()), Names(), notes)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "user", "assistant", "tool"]
    assert len({tool["function"]["name"] for tool in body["tools"]}) == 12
    assert body["tool_choice"] == "auto"
    assert notes == [
        "tool web_search left out", "reasoning.summary left out: reasoning is shown as it is"
    ]  # fmt: skip
    turn = codex.turn()
    first = chat(turn, Names(), [])["messages"]
    assert body["messages"][: len(first)] == first  # the same prefix, for caches


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": {"id": "c"}}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"stream": "x"}, "stream"),
        ({"store": "x"}, "store"),
        ({"reasoning": 5}, "reasoning"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"effort": ["low"]}}, "reasoning.effort"),
        ({"reasoning": {"effort": {}}}, "reasoning.effort"),
        ({"text": 5}, "text"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"tools": {}}, "tools"),
    ],
)
def test_what_is_refused(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        translated(**fields)
    assert refused.value.param == param


def test_input_as_items() -> None:
    assert items_of({"input": "Hi"}) == [{"type": "message", "role": "user", "content": "Hi"}]
    assert items_of({"input": [5]}) == [5]
    assert items_of({}) == []


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "auto", "function"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "tools", "content", "role"]), inner)
    ),
    max_leaves=8,
)
KINDS = st.sampled_from([
    "message", "function_call", "function_call_output", "custom_tool_call", "reasoning",
    "item_reference", "web_search_call", "input_text", "input_image", "custom", "namespace",
])  # fmt: skip
OPTIONAL = ("role", "content", "call_id", "name", "arguments", "output", "tools")
THINGS = st.fixed_dictionaries({"type": KINDS}, optional=dict.fromkeys(OPTIONAL, VALUES))
FIELDS = st.sampled_from([*sorted(_READ), *_REFUSED, "new"])


@given(st.dictionaries(FIELDS, VALUES | st.lists(THINGS, max_size=3)))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_translated_or_refused(payload: Json) -> None:
    with suppress(BadRequest):
        parse_request("chat", chat({"input": "Hi", **payload}, Names(), []))


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, "", "x", [], ["x"], [1], [[]], [None], [{}], {}, {"x": 1},
    {"type": "x"}, {"type": []}, {"type": {}}, [{"type": ["x"]}],
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield (*at, key)
        yield from places(value[key], (*at, key))


def test_odd_values_are_refused_or_read() -> None:
    """In every place of a request with all kinds of items, tools and parameters."""
    wanted = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]}
    whole = codex.tool_result(codex.turn())
    whole |= {"tools": whole["tools"][-3:], "tool_choice": wanted, "max_output_tokens": 9,
              "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}},
              "reasoning": {"effort": "low", "summary": "auto"}, "include": ["x"],
              "metadata": {"task": "code"}, "stream": True}  # fmt: skip
    for at in places(whole):
        for odd in ODD:
            changed = copy.deepcopy(whole)
            place = functools.reduce(operator.getitem, at[:-1], changed)
            place[at[-1]] = odd
            with suppress(BadRequest):
                chat(changed, Names(), [])
