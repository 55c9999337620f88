"""What is removed for backends that cache prefixes."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.prefix_guard import guarded, guarded_native, steady

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


CLOCKS = (
    "Current time: 12:03:55",
    "The current date and time is 2026-11-28T19:28:42Z.",
    "The current time is 7:05 PM.",
    "Today is Saturday, 28 November 2026, 19:28 UTC.",
    "- Date: 2026-11-28 19:28:42+01:00",
    "It is now 19:28.",
    "<current_time>19:28</current_time>",
    "**Local time:** 9:28",
)
NO_CLOCKS = (
    "Today's date is 2026-11-28.",
    "Current date: Saturday, 28 November 2026.",
    "Times are written as 12:03.",
    "Dates such as 2026-11-28 are in ISO form.",
    "Now and then, look at line 12 of the file.",
    "Meetings are at 12:30 today.",
    "Current opening hours: 9:00 to 17:00",
    "Current version: 12:03:55:01",
    "Quote John 3:16 where it fits.",
    "Current time zones are " + "long " * 40 + "12:03",
)


@pytest.mark.parametrize("line", CLOCKS)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_clock_moves_to_the_end(line: str, role: str) -> None:
    """From a text or a part of one, behind the last message, which may be a tool's result."""
    notes: list[str] = []
    last = {"role": role, "content": "Hi"}
    system = {"role": "system", "content": f"You are.\n{line}\nYou help."}
    assert guarded([system, USER, last], notes) == [
        {"role": "system", "content": "You are.\nYou help."}, USER,
        {"role": role, "content": f"Hi\n\n{line}"},
    ]  # fmt: skip
    assert len(notes) == 1
    parts = {"role": "system", "content": [part(LINE), part(line), part("You are.")]}
    assert guarded([parts, {**last, "content": [part("Hi")]}], notes) == [
        {"role": "system", "content": [part("You are.")]},
        {"role": role, "content": [part("Hi"), part(line)]},
    ]
    assert steady([system, USER]) == [{"role": "system", "content": "You are.\nYou help."}, USER]


@pytest.mark.parametrize("line", NO_CLOCKS)
def test_what_is_no_clock_stays(line: str) -> None:
    given = [{"role": "system", "content": f"You are.\n{line}\nYou help."}, USER]
    assert guarded(given, []) is given


def test_a_clock_stays_where_it_cannot_move() -> None:
    """Before an answer that is to be continued, and far from the head."""
    system = {"role": "system", "content": f"{CLOCKS[0]}\nYou are."}
    given = [system, USER, {"role": "assistant", "content": "Well,"}]
    assert guarded(given, []) is given
    far = [{"role": "system", "content": "You help.\n" * 300 + CLOCKS[0]}, USER]
    assert guarded(far, []) is far


def test_nothing_is_lost_and_nothing_edited() -> None:
    """In either format."""
    line, marked = CLOCKS[0], {"cache_control": {"type": "ephemeral"}}
    use = {"type": "tool_use", "id": "x", "name": "t", "input": {"cache_control": 1}}
    result = {"type": "tool_result", "tool_use_id": "x", "content": [{**part("a"), **marked}]}
    payload = {
        "system": [part(LINE), {**part(f"{line}\nYou are."), **marked}],
        "messages": [{"role": "assistant", "content": [use]},
                     {"role": "user", "content": [{**result, **marked}]}],
        **marked,
    }  # fmt: skip
    before = repr(payload)
    assert guarded_native(payload, []) == {
        "system": [part("You are.")],
        "messages": [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{**result, "content": [part("a")]}, part(line)]},
        ],
    }
    assert repr(payload) == before
    plain = {"model": "m", "messages": [USER]}
    assert guarded_native(plain, []) == plain
