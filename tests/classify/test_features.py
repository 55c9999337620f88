"""The features of a request, which the decision is based on."""

from __future__ import annotations

from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features


def features(messages: list[dict[str, Any]], **fields: Any) -> Features:
    return features_of(parse_request("chat", {"messages": messages, **fields}))


def test_the_ask_is_the_last_user_turn() -> None:
    """The ask, the turns before it and the leading system message are separate features."""
    found = features(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "Two"},
            {"role": "user", "content": "Three"},
            {"role": "system", "content": "A later note."},
        ]
    )
    assert (found.ask, found.system, found.last_role, found.last_text) == (
        "Three",
        "Be brief.",
        "system",
        "A later note.",
    )
    assert found.previous == (("user", "One"), ("assistant", "Two"))
    assert (found.n_messages, found.n_user, found.total_chars) == (
        5,
        2,
        len("Be brief.OneTwoThreeA later note."),
    )


def test_parts_are_read_as_text() -> None:
    """Text parts are joined, images are noted, and content without text counts as empty."""
    picture = {"type": "image_url", "image_url": {"url": "x"}}
    found = features(
        [
            {"role": "assistant", "content": None, "tool_calls": []},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What"},
                    picture,
                    {"type": "text", "text": "is it?"},
                ],
            },
        ]
    )
    assert (found.ask, found.has_images) == ("What\nis it?", True)
    assert found.previous == (("assistant", ""),)


def test_there_may_be_no_user_turn() -> None:
    """Without a user turn, the ask is empty."""
    found = features(
        [{"role": "system", "content": "Do it."}, {"role": "assistant", "content": "Done"}]
    )
    assert (found.ask, found.previous, found.n_user) == ("", (), 0)


def test_only_the_newest_turns_are_kept() -> None:
    """The number of turns that are read is bounded, however long the conversation is."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": str(i)} for i in range(101)]
    found = features(messages)
    assert found.ask == "100"
    assert [text for _, text in found.previous][-2:] == ["98", "99"]
    assert len(found.previous) <= 16


def test_tools_and_tasks_are_noticed() -> None:
    """Tools, functions and a frontend's task are read; a task that is not a string is ignored."""
    hello = [{"role": "user", "content": "Hello"}]
    assert features(hello, tools=[{"type": "function"}]).has_tools
    assert features(hello, functions=[{}]).has_tools
    assert not features(hello, tools=[]).has_tools
    assert features(hello, metadata={"task": "title_generation"}).task == "title_generation"
    assert features(hello, metadata={"task": 5}).task is None
    assert features(hello, metadata={"task": ""}).task is None
