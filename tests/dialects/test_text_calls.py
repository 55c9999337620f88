"""Reading tool calls that a model wrote as text."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.text_calls import MARK, WrittenCall, scan, tools_of
from tests.dialects.written_calls import CALL, SHAPES, TOOLS, expected

KNOWN = tools_of({"tools": TOOLS})
PARIS = [WrittenCall("get_weather", {"city": "Paris"})]


def test_which_functions_may_be_called() -> None:
    assert KNOWN["get_weather"] == {"city": {"type": "string"}, "days": {"type": "integer"}}
    assert tools_of({"tools": [{"type": "function", "function": {"name": "f"}}]}) == {"f": {}}
    assert tools_of({"tools": [None, {"type": "web_search"}, {"function": {"name": ""}}]}) == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    text = SHAPES[shape].rpartition("</think>")[2].removeprefix("Let me look.").lstrip()
    found = scan(text, KNOWN, bare=MARK.match(text) is None)
    assert [(call.name, call.arguments) for call in found.calls] == expected(shape)
    assert (found.cut, found.named) == (False, True)
    missing = ("missing", "cut", "Qwen3-Coder, cut")
    assert found.whole is not any(word in shape for word in missing)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_beginning_of_a_call_may_still_become_one(shape: str) -> None:
    text = SHAPES[shape].rpartition("</think>")[2].removeprefix("Let me look.").lstrip()
    for end in range(1, len(text)):
        bare = MARK.match(text[:end]) is None
        found = scan(text[:end], KNOWN, bare=bare)
        assert found.ended != "other", text[:end]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("\n7\n", 7), ("7", 7), ("seven", "seven"), ("", ""), ("True", True), ("[1,]", [1]),
    ],
)  # fmt: skip
def test_parameters_in_tags_have_the_type_of_the_schema(text: str, arguments: Any) -> None:
    tagged = f"<function=get_weather><parameter=days>{text}</parameter></function>"
    assert scan(tagged, KNOWN, bare=False).calls == [
        WrittenCall("get_weather", {"days": arguments})
    ]


def test_texts_in_tags_are_kept() -> None:
    """But for the line breaks that the form has around them; marks within them are text."""
    content = "\n  <b>1</b>\n</parameter> is a tag\n"
    tagged = (
        "<function=write_file>\n<parameter=path>\na\n</parameter>\n<parameter=content>\n"
        f"{content}\n</parameter>\n</function>"
    )
    (call,) = scan(tagged, KNOWN, bare=False).calls
    assert call.arguments == {"path": "a", "content": content}


@pytest.mark.parametrize(
    "text",
    [
        '<function=get_weather>{"city": "Paris"}</function>',
        '<function=get_weather>{"city": "Paris"}',
        '<function=get_weather>\n<parameter=city>\nParis\n<parameter=days>\n2</function>',
        '<tool_call>get_weather {"city": "Paris"}</tool_call>',
        "<tools>" + CALL + "</tools></s>",
        '<tool_call>{"function": "get_weather", "args": {"city": "Paris"}}</tool_call>',
        '<tool_call>{"tool_name": "get_weather", "tool_input": {"city": "Paris"}}</tool_call>',
        f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
    ],
)  # fmt: skip
def test_further_shapes(text: str) -> None:
    (call,) = scan(text, KNOWN, bare=False).calls
    assert (call.name, call.arguments["city"]) == ("get_weather", "Paris")


def test_a_function_without_arguments() -> None:
    tools = {"now": dict[str, Any]()}
    for text in (
        '{"name": "now"}',
        '{"name": "now", "arguments": null}',
        '{"name":"now","args":""}',
    ):
        assert scan(f"<tool_call>{text}</tool_call>", tools, bare=False).calls == [
            WrittenCall("now", {})
        ]
    assert scan('{"name": "now"}', tools, bare=True).ended == "other"
    assert scan('{"name": "now", "arguments": {}}', tools, bare=True).calls == [
        WrittenCall("now", {})
    ]


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ('<tool_call>{"name": "unknown"', False),
        ('<tool_call>{"title"', False),
        ("<function=unknown>", False),
        ("<tool_call>unknown\n", False),
        (f"<tool_call>{CALL}</tool_call> and", False),
        (f"{CALL} and", True),
        ("[1", True),
        ('{"name": "A', True),
        ('{"id": 1', True),
        ('{"name": "get_weather", "arguments": {"town": "Paris"}}', True),
        ('{"name": "get_weather", "arguments": {"type": "object", "properties": {}}}', False),
        ('{"name": "get_weather", "function": {"name": "get_weather", "strict": true}}', False),
    ],
)
def test_what_is_none_is_seen_at_once(text: str, bare: bool) -> None:
    assert scan(text, KNOWN, bare=bare).ended == "other"
