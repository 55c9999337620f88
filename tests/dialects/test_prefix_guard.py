"""What is removed for backends that cache prefixes."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.prefix_guard import steady

LINE = "x-anthropic-billing-header: cc_version=2.1.197.abc; cc_entrypoint=cli; cch=00000;"
USER = {"role": "user", "content": "Hi"}


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (f"{LINE}\n\nYou are", "You are"),
        (f"{LINE}\r\nYou are", "You are"),
        ([part(LINE), part("You are")], [part("You are")]),
        ([part(f"{LINE}\nYou"), part("are")], [part("You"), part("are")]),
    ],
)
def test_the_billing_line_is_removed(content: Any, kept: Any) -> None:
    given = [{"role": "system", "content": content}, USER]
    assert steady(given) == [{"role": "system", "content": kept}, USER]
    assert given[0]["content"] == content


def test_a_message_of_nothing_else_goes() -> None:
    rest = [{"role": "system", "content": "You are"}, USER]
    assert steady([{"role": "system", "content": LINE}, *rest]) == rest
    assert steady([{"role": "system", "content": [part(LINE)]}, *rest]) == rest


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{"role": "user", "content": LINE}],
        [{"role": "system", "content": f"Never send {LINE}"}, USER],
        [{"role": "system", "content": [part("a"), part(LINE)]}, USER],
        [{"role": "system", "content": None}, USER],
        [{"role": "system", "content": [{"type": "x"}]}, USER],
        [USER, {"role": "system", "content": LINE}],
        [],
    ],
)
def test_everything_else_stays_as_it_is(messages: Any) -> None:
    assert steady(messages) is messages
