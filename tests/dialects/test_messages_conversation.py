"""Requests in the format of Anthropic's Messages API: the conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.messages_conversation import conversation
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import BadRequest

Json = dict[str, Any]
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
PARTS = [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
]


def text(said: str) -> Json:
    return {"type": "text", "text": said}


def use(known: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": known, "name": "a", "input": given}


def result(known: str, content: Any, **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": known, "content": content, **more}


def user(*blocks: Any) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def translated(*messages: Json, **fields: Any) -> tuple[list[Json], list[str]]:
    notes: list[str] = []
    return conversation({"messages": list(messages), **fields}, notes), notes


def messages_of(*messages: Json, **fields: Any) -> list[Json]:
    sent, notes = translated(*messages, **fields)
    assert notes == []
    return sent


@pytest.mark.parametrize("system", ["A\n\nB", [text("A"), {**text("B"), "cache_control": {}}]])
def test_the_system_text_is_one_message(system: Any) -> None:
    assert messages_of(user(text("Hi")), system=system) == [
        {"role": "system", "content": "A\n\nB"},
        {"role": "user", "content": "Hi"},
    ]
    assert messages_of(user(text("Hi")), system=[]) == [{"role": "user", "content": "Hi"}]


def reminder(said: str) -> str:
    return f"<system-reminder>\n{said}\n</system-reminder>"


@pytest.mark.parametrize("content", ["A\n\nB", [text("A"), text("B")]])
def test_a_later_system_message_is_a_reminder_in_the_message_before(content: Any) -> None:
    """Many templates take a system message at the beginning only."""
    later, joined = {"role": "system", "content": content}, "A\n\nB"
    sent, notes = translated(user(text("Hi")), later)
    assert sent == [{"role": "user", "content": f"Hi\n\n{reminder(joined)}"}]
    assert notes == ["later system messages sent as reminders"]
    sent, _ = translated(user(text("a"), PNG), later)
    assert [part["type"] for part in sent[0]["content"]] == ["text", "image_url", "text"]
    sent, _ = translated(user(text("a")), assistant(use("x")), user(result("x", "r")), later)
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[2]["content"].startswith("r\n\n<system-reminder>\nA")
    sent, _ = translated(user(text("a")), assistant(text("b")), later)
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]


def test_a_first_system_message_joins_the_system_text() -> None:
    first = {"role": "system", "content": "B"}
    assert messages_of(first, user(text("Hi")), system="A")[0] == {
        "role": "system", "content": "A\n\nB"
    }  # fmt: skip
    assert messages_of(first, user(text("Hi")))[0] == first


def test_reminders_beside_results_do_not_end_a_tool_conversation() -> None:
    """They stay with the last result, and thinking of the turn is still given back."""
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    sent = messages_of(
        user(text("a")),
        assistant(thought, use("x"), use("y")),
        user(result("x", "r"), result("y", [PNG]), text(reminder("B"))),
    )
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    assert sent[3]["content"] == [PARTS[0], text(reminder("B"))]
    assert sent[1]["reasoning_content"] == "Hm"
    both = user(result("x", "r"), text(reminder("B")), text("Stop!"))
    sent = messages_of(user(text("a")), assistant(use("x")), both)
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]


def test_what_a_user_sends() -> None:
    assert messages_of(user(text("a"), PNG, text("b"), LINK)) == [
        {"role": "user", "content": [text("a"), PARTS[0], text("b"), PARTS[1]]}
    ]
    document = {"type": "document", "title": "T", "source": {"type": "text", "data": "D"}}
    blocks = {"type": "document", "source": {"type": "content", "content": [text("E")]}}
    found = {"type": "search_result", "title": "T", "source": "S", "content": [text("F")]}
    assert messages_of(user(document, blocks, found)) == [
        {"role": "user", "content": [text("T"), text("D"), text("E"), text("T\nS\nF")]}
    ]


def test_parallel_calls_and_their_results() -> None:
    """Each with its id; the results come first, then what the user says."""
    sent = messages_of(
        user(text("Look")),
        assistant(text("I look."), use("x", city="Bonn"), use("y")),
        user(result("x", "Sunny"), result("y", [text("b"), text("c")]), text("Well?")),
    )
    assert sent[1]["content"] == "I look."
    assert [(c["id"], c["function"]) for c in sent[1]["tool_calls"]] == [
        ("x", {"name": "a", "arguments": '{"city":"Bonn"}'}),
        ("y", {"name": "a", "arguments": "{}"}),
    ]
    assert sent[2:] == [
        {"role": "tool", "tool_call_id": "x", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "y", "content": "b\nc"},
        {"role": "user", "content": "Well?"},
    ]


@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [
        (None, {}, ""),
        ([], {}, ""),
        ([text("a"), PNG], {}, [text("a"), PARTS[0]]),
        ("no such file", {"is_error": True}, "Error: no such file"),
        ("Error: no such file", {"is_error": True}, "Error: no such file"),
        (None, {"is_error": True}, "Error:"),
        ([PNG], {"is_error": True}, [text("Error:"), PARTS[0]]),
        ("fine", {"is_error": False}, "fine"),
    ],
)
def test_results_of_tools(content: Any, more: Json, expected: Any) -> None:
    sent = messages_of(user(text("a")), assistant(use("x")), user(result("x", content, **more)))
    assert sent[2] == {"role": "tool", "tool_call_id": "x", "content": expected}


def test_thinking_is_given_back_within_a_turn() -> None:
    """As reasoning; of earlier turns it is left out, as templates do, and noted."""
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    sent, notes = translated(
        user(text("a")), assistant(thought, text("b")),
        user(text("c")), assistant(thought, use("x")), user(result("x", "d")),
    )  # fmt: skip
    assert "reasoning_content" not in sent[1]
    assert sent[3]["reasoning_content"] == "Hm"
    assert notes == ["thinking of earlier turns left out"]


@pytest.mark.parametrize(
    ("block", "note"),
    [
        ({"type": "redacted_thinking", "data": "x"}, "redacted thinking left out"),
        ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
         "server_tool_use left out"),
        ({"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
         "web_search_tool_result left out"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_noted(block: Json, note: str) -> None:
    sent, notes = translated(assistant(block, text("b")), user(text("c")))
    assert sent[0] == {"role": "assistant", "content": "b"}
    assert notes == [note]


def test_a_beginning_of_the_answer_is_noted() -> None:
    _, notes = translated(user(text("a")), assistant(text("b")))
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"role": "tool", "content": "a"}, "messages.0"),
        ("Hi", "messages.0"),
        ({"role": "user"}, "messages.0.content"),
        ({"role": "user", "content": 1}, "messages.0.content"),
        (user("a"), "messages.0.content.0"),
        (user({"type": "hologram"}), "messages.0.content.0"),
        (user({"type": "text"}), "messages.0.content.0.text"),
        (user({"type": "thinking", "thinking": "a"}), "messages.0.content.0"),
        (user({"type": "image", "source": {"type": "file"}}), "messages.0.content.0.source"),
        (user({"type": "document", "source": {"type": "base64"}}), "messages.0.content.0.source"),
        (user(result("", "a")), "messages.0.content.0.tool_use_id"),
        (user(result("x", [{"type": "video"}])), "messages.0.content.0.content.0"),
        (assistant({"type": "tool_use", "id": "x", "input": {}}), "messages.0.content.0.name"),
        (assistant({**use("x"), "input": "a"}), "messages.0.content.0.input"),
        (assistant(PNG), "messages.0.content.0"),
        ({"role": "system", "content": [PNG]}, "messages.0.content.0"),
    ],
)
def test_what_is_refused(message: Any, where: str) -> None:
    """With where it stands."""
    with pytest.raises(BadRequest, match=f"^{where}: ") as refused:
        translated(message)
    assert refused.value.param == where


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES = st.recursive(TEXTS | st.integers(0, 9) | st.none(), lambda v: st.lists(v, max_size=2))
TURNS = st.lists(
    st.tuples(TEXTS, TEXTS, st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=3)),
    min_size=1,
    max_size=4,
)


@given(TURNS)
@settings(max_examples=50, deadline=None)
def test_nothing_is_lost_or_doubled(turns: list[tuple[str, str, list[Json]]]) -> None:
    """Texts, calls and results come back out of the translation, in order."""
    messages: list[Json] = []
    for i, (asked, answered, calls) in enumerate(turns):
        uses = [use(f"c{i}.{j}", **{"v": given}) for j, given in enumerate(calls)]
        results = [result(call["id"], f"r{call['id']}") for call in uses]
        messages += [user(text(asked)), assistant(text(answered), *uses)]
        if results:
            messages += [user(*results)]
    messages.append(user(text("end")))
    sent = parse_request("chat", {"messages": messages_of(*messages)}).messages
    back: list[Json] = []
    for message in sent:
        if message["role"] == "tool":
            given = result(message["tool_call_id"], message["content"])
            if back[-1]["role"] == "user":
                back[-1]["content"].append(given)
            else:
                back.append(user(given))
            continue
        blocks = [text(message["content"])]
        for call in message.get("tool_calls", ()):
            blocks.append(use(call["id"], **json.loads(call["function"]["arguments"])))
        back.append({"role": message["role"], "content": blocks})
    assert back == messages
