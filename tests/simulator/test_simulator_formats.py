"""JSON where JSON is asked for, calls where a call is asked for, and sentences for people."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from simulator.client import chat, chat_body, content, events, post, streamed_text
from simulator.profiles import PROFILES
from simulator.schemas import value_for
from simulator.testing import Simulator
from simulator.writing import housekeeping, lm_tokens, sentences

ADDRESS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "zip": {"type": "integer", "minimum": 10_000, "maximum": 99_999},
    },
    "required": ["city", "zip"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, tuple[Any, Any]] = {
    "object": (ADDRESS, {"city": "simulated", "zip": 55_000}),
    "enum": ({"enum": ["red", "blue"]}, "red"),
    "const": ({"const": 7}, 7),
    "a list of types": ({"type": ["null", "integer"]}, 1),
    "nullable": ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
    "all of": (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "number"}}, "required": ["b"]},
            ]
        },
        {"a": 1, "b": 1.5},
    ),
    "reference": (
        {
            "$defs": {"tag": {"type": "string", "maxLength": 3}},
            "type": "array",
            "items": {"$ref": "#/$defs/tag"},
            "minItems": 2,
        },
        ["sim", "sim"],
    ),
    "different items": (
        {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
        [1, 2, 3],
    ),
    "date": ({"type": "string", "format": "date"}, "2026-01-31"),
    "between": ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    "multiple": ({"type": "integer", "minimum": 11, "multipleOf": 5}, 15),
    "least": ({"type": "integer", "minimum": 3, "maximum": 3}, 3),
    "negative": ({"type": "integer", "maximum": -4}, -5),
    "required, not described": ({"type": "object", "required": ["x"]}, {"x": "simulated"}),
    "anything": (True, "simulated"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_value_fits_its_schema(name: str) -> None:
    schema, expected = SCHEMAS[name]
    assert value_for(schema) == expected


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["children"],
    }
    value, depth = value_for(tree), 0
    while value["children"]:
        value, depth = value["children"][0], depth + 1
    assert depth > 0
    assert value_for({"anyOf": [{"$ref": "#"}]}) is not None
    assert value_for({"$ref": "#"}) is not None
    assert value_for({"$ref": "https://example.com/elsewhere"}) == "simulated"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("role", ["primary", "xai", "ollama"])
def test_a_format_is_kept(sim: Simulator, role: str, stream: bool) -> None:
    def said(**fields: Any) -> Any:
        answer = chat(sim, role, "Where do you live?", stream=stream, **fields)
        return json.loads(streamed_text(events(answer)) if stream else content(answer))

    free = said(response_format={"type": "json_object"})
    assert free["simulated"] is True
    assert "simulated answer" in free["answer"]
    form = {"type": "json_schema", "json_schema": {"name": "address", "schema": ADDRESS}}
    assert said(response_format=form) == SCHEMAS["object"][1]
    assert said(structured_outputs={"json": ADDRESS}) == SCHEMAS["object"][1]
    assert said(response_format={"type": "json_object"}, sim={"text": "[1]"}) == [1]


def test_a_format_that_nobody_understands_is_refused(sim: Simulator) -> None:
    for form in ({"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": 1}}):
        refused = chat(sim, "primary", "hi", response_format=form)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "response_format"
    assert "simulated" in content(chat(sim, "primary", "hi", response_format={"type": "text"}))


def frontend(task: str, output: str) -> str:
    return (
        f"### Task:\n{task}\n\n### Output:\nJSON format: {output}\n\n### Chat History:\n"
        "<chat_history>\n"
        'USER: How do rivers find the sea?\nASSISTANT: {"tags": ["a decoy"]}\n</chat_history>'
    )


@pytest.mark.parametrize(
    ("key", "kind", "example"),
    [
        ("title", str, '{ "title": "your concise title here" }'),
        ("tags", list, '{ "tags": ["tag1", "tag2", "tag3"] }'),
        ("follow_ups", list, '{ "follow_ups": ["Question 1?", "Question 2?"] }'),
        ("queries", list, '{ "queries": ["query1", "query2"] }'),
    ],
)
def test_a_frontends_own_prompts_get_their_json(
    sim: Simulator, key: str, kind: type, example: str
) -> None:
    answer = json.loads(content(chat(sim, "primary", frontend("Do it.", example))))
    assert list(answer) == [key]
    assert isinstance(answer[key], kind)
    assert answer[key]
    if key == "title":
        assert "How Do Rivers Find" in answer[key]


def test_other_prompts_are_none_of_a_frontends() -> None:
    assert housekeeping("What is JSON?") is None
    assert housekeeping('Explain the "title" attribute.') is None
    assert housekeeping(frontend("Say something.", "as you like")) is None
    assert housekeeping('Is this JSON valid? {"text": "a"}') is None


WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 2},
        },
        "required": ["place", "unit"],
    },
}
TOOLS = [
    {"type": "function", "function": {"name": "look_up"}},
    {"type": "function", "function": WEATHER},
]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def test_a_named_function_is_called_with_arguments_that_fit(sim: Simulator) -> None:
    answer = chat(sim, "primary", "hi", tools=TOOLS, tool_choice=NAMED).json()["choices"][0]
    call = answer["message"]["tool_calls"][0]["function"]
    assert call["name"] == "get_weather"
    assert json.loads(call["arguments"]) == {"place": "simulated", "unit": "celsius", "days": 3}
    assert answer["finish_reason"] == "tool_calls"


def test_a_required_call_is_the_first_function(sim: Simulator) -> None:
    answer = chat(sim, "primary", "hi", tools=TOOLS, tool_choice="required").json()["choices"][0]
    call = answer["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("look_up", {})


def test_a_call_is_streamed_in_pieces(sim: Simulator) -> None:
    """Its id, type and name come with the first piece alone; the arguments in several, one call at
    index 0."""
    chunks = events(chat(sim, "primary", "hi", tools=TOOLS, tool_choice=NAMED, stream=True))
    calls = [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    first, *rest = calls
    assert (first["type"], first["function"]) == (
        "function",
        {"name": "get_weather", "arguments": ""},
    )
    assert first["id"]
    assert {call["index"] for call in calls} == {0}
    assert all(set(call) == {"index", "function"} for call in rest)
    assert len(rest) > 5
    whole = "".join(call["function"]["arguments"] for call in rest)
    assert json.loads(whole)["unit"] == "celsius"


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": NAMED},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ],
)
def test_a_call_that_is_not_possible_is_refused(sim: Simulator, fields: dict[str, Any]) -> None:
    refused = chat(sim, "primary", "hi", **fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "tool_choice"


# Sentences ----------------------------------------------------------------------------------------


def test_a_readable_answer_says_that_it_is_made_up_and_numbers_its_points() -> None:
    text = "".join(sentences("a-model", "How do rivers find the sea?", 140))
    assert text.startswith("This is a simulated answer from a-model:")
    assert "made up" in text
    assert "“How do rivers find the sea?”" in text
    numbers = [int(number) for number in re.findall(r"^(\d+)\. [A-Z].*\.$", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 3
    assert len(sentences("a-model", "x" * 1000, 140)) <= 140
    assert sentences("a-model", "", 1)
    assert "Search results" in "".join(sentences("a-model", "News?", 140, searched=True))
    assert sentences("a-model", "Hi", 140) != sentences("a-model", "Hi", 140, variant=1)


def test_a_readable_answer_is_continued_exactly_by_another_model(sim: Simulator) -> None:
    for role in ("primary", "xai"):
        sim.configure(role, readable=True, answer_short=[90, 140])
    whole = content(chat(sim, "primary", "a story"))
    assert content(chat(sim, "primary", "a story")) == whole
    other = content(chat(sim, "xai", "a story"))
    body = chat_body("primary", "a story", continue_final_message=True, add_generation_prompt=False)
    for text, cut in ((whole, 30), (whole, 200), (other, 200), (other, 333)):
        sent = {
            **body,
            "messages": [*body["messages"], {"role": "assistant", "content": text[:cut]}],
        }
        assert text[:cut] + content(post(sim, "primary", "/v1/chat/completions", sent)) == text


def test_pieces_make_up_the_whole() -> None:
    text = '{"a b": "Müller\\n言葉🙂", "list": [1, -2.5e3, null]}'
    assert "".join(lm_tokens(text)) == text


def test_what_make_run_shows_is_quick_and_readable() -> None:
    demo, homelab = PROFILES["demo"], PROFILES["homelab"]
    assert demo["xai"].search_ms[1] < 1500
    assert homelab["xai"].search_ms[0] > 10_000
    assert all(demo[role].readable for role in ("router", "primary", "xai"))
    assert not any(profile.readable for profile in homelab.values())
