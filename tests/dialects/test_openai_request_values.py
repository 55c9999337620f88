"""Values in another type than documented: read as what they mean, or left for the validation."""

from typing import Any

import pytest

from airouter.dialects.openai_request import _normalised

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("stream", "true", True),
        ("stream", " FALSE ", False),
        ("stream", "0", False),
        ("n", "2", 2),
        ("n", "2.0", 2),
        ("max_tokens", "100", 100),
        ("max_tokens", -2, -1),
        ("max_completion_tokens", "-2", -1),
    ],
)
def test_a_value_is_read_as_what_it_means(name: str, given: Any, meant: Any) -> None:
    adjusted: list[str] = []
    asked = {"messages": MESSAGES, name: given}
    assert _normalised("chat", asked, adjusted) == {"messages": MESSAGES, name: meant}
    (note,) = adjusted
    assert note.startswith(f"{name}={given!r} read as ")
    assert asked[name] == given, "the client's own payload was changed"


@pytest.mark.parametrize(
    ("name", "given", "type_"), [("stream", 1, bool), ("n", 2.0, int), ("max_tokens", 100.0, int)]
)
def test_another_form_of_the_same_value_needs_no_note(name: str, given: Any, type_: type) -> None:
    adjusted: list[str] = []
    read = _normalised("chat", {name: given}, adjusted)[name]
    assert (read, type(read), adjusted) == (given, type_, [])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("stream", "maybe"),
        ("stream", 2),
        ("stream", []),
        ("n", "two"),
        ("n", "1.5"),
        ("n", "1e30"),
        ("n", "1" * 21),
        ("n", 2.5),
        ("n", "nan"),
        ("max_tokens", True),
        ("max_tokens", None),
        ("max_tokens", 2.0**60),
        ("temperature", "1"),
    ],
)
def test_anything_else_is_left_for_the_validation(name: str, given: Any) -> None:
    adjusted: list[str] = []
    asked = {name: given}
    assert _normalised("chat", asked, adjusted) is asked
    assert adjusted == []


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (["Hello"], [{"type": "text", "text": "Hello"}]),
        ([{"text": "Hello"}], [{"type": "text", "text": "Hello"}]),
        ({"type": "text", "text": "Hello"}, [{"type": "text", "text": "Hello"}]),
        (
            [{"image_url": "data:x"}],
            [{"type": "image_url", "image_url": {"url": "data:x"}}],
        ),
        (
            [{"image_url": {"url": "data:x"}}, {"odd": 1}],
            [{"type": "image_url", "image_url": {"url": "data:x"}}, {"odd": 1}],
        ),
    ],
    ids=str,
)
def test_content_parts_get_their_type(content: Any, parts: Any) -> None:
    adjusted: list[str] = []
    asked = {"messages": [*MESSAGES, {"role": "user", "content": content}]}
    read = _normalised("chat", asked, adjusted)["messages"]
    assert read == [*MESSAGES, {"role": "user", "content": parts}]
    assert adjusted == ["content parts converted to objects with a type"]


@pytest.mark.parametrize(
    "messages",
    ["Hello", [5], [{"role": "user", "content": 5}], [{"content": [{"type": "text"}]}]],
    ids=str,
)
def test_other_messages_are_left_alone(messages: Any) -> None:
    asked = {"messages": messages}
    assert _normalised("chat", asked, []) is asked


def test_only_chat_has_messages() -> None:
    asked = {"messages": [{"role": "user", "content": ["Hello"]}]}
    assert _normalised("completions", asked, []) is asked
