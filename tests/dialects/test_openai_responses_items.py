"""Items of the Responses API as messages."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.openai_responses_items import messages_of
from airouter.dialects.openai_responses_tools import Called, Names
from airouter.domain.errors import BadRequest

Json = dict[str, Any]
ASK: Json = {"role": "user", "content": "Hi"}
CALL: Json = {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "c", "output": "Sunny"}


def said(role: str, text: str, **more: Any) -> Json:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text}]
    return {"type": "message", "role": role, "content": content, **more}


def thought(text: str = "Hm.") -> Json:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": "rs", "summary": [], "content": content}


def translated(
    *items: Any, instructions: Any = None, names: Names | None = None
) -> tuple[list[Json], list[str]]:
    notes: list[str] = []
    return messages_of(instructions, [*items], names or Names(), notes), notes


def test_a_text_and_instructions() -> None:
    assert messages_of("Be brief.", "Hi", Names(), []) == [
        {"role": "system", "content": "Be brief."}, ASK
    ]  # fmt: skip


def test_developers_and_systems_are_one_system_message() -> None:
    """A later one goes where every template takes it, and stays there."""
    items = [said("developer", "A."), said("system", "B."), said("user", "Hi")]
    messages, notes = translated(*items, instructions="I.")
    assert messages == [{"role": "system", "content": "I.\n\nA.\n\nB."}, ASK]
    assert notes == []
    messages, notes = translated(*items, said("developer", "Later."))
    assert messages[1:] == [
        {"role": "user", "content": "Hi\n\n<system-reminder>\nLater.\n</system-reminder>"}
    ]
    assert notes == ["later system messages sent as reminders"]


def test_the_items_of_a_turn_are_one_message() -> None:
    """Text, calls and reasoning; the results follow."""
    second = {**CALL, "call_id": "d"}
    messages, notes = translated(
        ASK, thought(), said("assistant", "I look.", phase="commentary"), CALL, second,
        OUTPUT, {**OUTPUT, "call_id": "d"}, said("assistant", "So."),
    )  # fmt: skip
    function = {"name": "a", "arguments": "{}"}
    assert messages[1] == {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": i, "type": "function", "function": function} for i in "cd"],
    }
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "c", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "d", "content": "Sunny"},
        {"role": "assistant", "content": "So."},
    ]
    assert notes == []


def test_reasoning_that_is_left_out() -> None:
    """That of earlier turns, and what cannot be read."""
    messages, notes = translated(ASK, thought(), said("assistant", "A"), ASK)
    assert "reasoning_content" not in messages[1]
    assert notes == ["reasoning of earlier turns left out"]
    secret = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    assert translated(ASK, secret) == ([ASK], ["reasoning without its text left out"])
    assert translated(ASK, {"type": "reasoning", "summary": []}) == ([ASK], [])


def test_calls_of_custom_tools_and_of_namespaces() -> None:
    names = Names()
    names.add(Called("spawn", "agents"))
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": 'a "b"\n'}
    nested = {**CALL, "name": "spawn", "namespace": "agents"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "Done"}
    messages, _ = translated(ASK, custom, nested, output, names=names)
    functions = [call["function"] for call in messages[1]["tool_calls"]]
    assert functions == [
        {"name": "run", "arguments": '{"input":"a \\"b\\"\\n"}'},
        {"name": "agents__spawn", "arguments": "{}"},
    ]
    assert messages[2] == {"role": "tool", "tool_call_id": "c", "content": "Done"}


def test_parts() -> None:
    """Images, files and sounds, in messages and in results."""
    image = {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "original"}
    parts = [
        {"type": "input_text", "text": "Look"}, image,
        {"type": "input_file", "file_data": "data:x", "filename": "f.pdf"},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
    ]  # fmt: skip
    messages, notes = translated({"role": "user", "content": parts})
    shown = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert messages[0]["content"] == [
        {"type": "text", "text": "Look"}, shown,
        {"type": "file", "file": {"file_data": "data:x", "filename": "f.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
    ]  # fmt: skip
    assert notes == ["detail=original left out"]
    messages, _ = translated(ASK, CALL, {**OUTPUT, "output": [{**image, "detail": "auto"}]})
    assert messages[2]["content"][0]["image_url"]["detail"] == "auto"
    texts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    messages, _ = translated(ASK, CALL, {**OUTPUT, "output": texts})
    assert messages[2]["content"] == "a\nb"
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert translated(ASK, refusal)[0][1]["content"] == "No."


def test_what_servers_did_is_left_out() -> None:
    found = {"type": "web_search_call", "id": "ws", "status": "completed"}
    assert translated(ASK, found) == ([ASK], ["web_search_call left out"])


@pytest.mark.parametrize(
    ("item", "where"),
    [
        (5, "input.0"),
        ({}, "input.0"),
        ({"type": 5}, "input.0"),
        ({"type": "compaction", "encrypted_content": "x"}, "input.0"),
        ({"id": "msg_1"}, "input.0"),
        ({"role": "tool", "content": "x"}, "input.0.role"),
        ({"role": "user", "content": None}, "input.0.content"),
        ({"role": "user", "content": [5]}, "input.0.content.0"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input.0.content.0.text"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
         "input.0.content.0.image_url"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
         "input.0.content.0"),
        ({"role": "developer", "content": [{"type": "input_image", "image_url": "x"}]},
         "input.0.content.0"),
        ({**CALL, "call_id": None}, "input.0.call_id"),
        ({**CALL, "name": ""}, "input.0.name"),
        ({**CALL, "arguments": {}}, "input.0.arguments"),
        ({**CALL, "namespace": 5}, "input.0.namespace"),
        ({**CALL, "type": "custom_tool_call"}, "input.0.input"),
        ({**OUTPUT, "call_id": 5}, "input.0.call_id"),
        ({**OUTPUT, "output": {}}, "input.0.output"),
    ],
)  # fmt: skip
def test_what_is_refused(item: Any, where: str) -> None:
    """With its place."""
    with pytest.raises(BadRequest) as refused:
        translated(item)
    assert refused.value.param == where


@pytest.mark.parametrize(("given", "instructions"), [(None, None), ([], None), ("Hi", 5), (5, "x")])
def test_an_input_that_is_none(given: Any, instructions: Any) -> None:
    with pytest.raises(BadRequest):
        messages_of(instructions, given, Names(), [])
