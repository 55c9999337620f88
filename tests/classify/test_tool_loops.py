"""When an agent is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.classify.tool_loops import stuck_in

USER = {"role": "user", "content": "Fix the build"}
ERROR = "Error: src/main.c: No such file or directory"


def rounds(*pairs: tuple[str, str], start: int = 0) -> list[dict[str, Any]]:
    """Messages of one call with its result each."""
    made: list[dict[str, Any]] = []
    for n, (arguments, result) in enumerate(pairs, start):
        call = {
            "id": f"c{n}",
            "type": "function",
            "function": {"name": "run", "arguments": arguments},
        }
        made.append({"role": "assistant", "content": "", "tool_calls": [call]})
        made.append({"role": "tool", "tool_call_id": f"c{n}", "content": result})
    return made


def test_the_same_error_three_times() -> None:
    messages = [USER, *rounds(*((f'{{"n": {n}}}', ERROR) for n in range(3)))]
    assert stuck_in(messages) == "same tool error 3 times"


def test_the_same_call_three_times() -> None:
    messages = [USER, *rounds(*[('{"path": "a.py"}', "x = 1")] * 3)]
    assert stuck_in(messages) == "same tool call 3 times"


def test_the_last_three_rounds_count() -> None:
    """Earlier progress does not matter, and a fourth repetition is one still."""
    early = rounds(("a", "fine"), ("b", "fine too"))
    late = rounds(*((str(n), ERROR) for n in range(4)), start=2)
    assert stuck_in([USER, *early, *late]) == "same tool error 3 times"


def test_parallel_calls_are_one_round() -> None:
    """Three that fail alike at the same time have been tried once."""
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "run", "arguments": str(n)}}
        for n in range(3)
    ]
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": ERROR} for n in range(3)]
    assert stuck_in([USER, {"role": "assistant", "tool_calls": calls}, *results]) is None


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", ERROR), ("b", ERROR)],
        [("a", ERROR), ("b", "fine"), ("c", ERROR), ("d", ERROR)],
        [("a", ERROR), ("b", f"{ERROR} 2"), ("c", ERROR)],
        [("a", "ok"), ("b", "ok"), ("c", "ok")],
        [("poll", "10 % done"), ("poll", "20 % done"), ("poll", "30 % done")],
        [],
    ],
    ids=["twice", "between", "another", "no-error", "waiting", "none"],
)
def test_progress_is_not_stuck(pairs: list[tuple[str, str]]) -> None:
    assert stuck_in([USER, *rounds(*pairs)]) is None


def test_a_word_of_the_user_begins_anew() -> None:
    two, one = rounds(("a", ERROR), ("b", ERROR)), rounds(("c", ERROR), start=2)
    assert stuck_in([USER, *two, {"role": "user", "content": "Try again"}, *one]) is None


def test_functions_of_the_older_api_and_odd_messages() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
    result = {"role": "function", "name": "f", "content": ERROR}
    assert stuck_in([USER, *[call, result] * 3]) == "same tool error 3 times"
    odd = {"role": "assistant", "tool_calls": ["x", {"function": 3}, {"id": "c", "function": None}]}
    assert stuck_in([USER, *[odd, {"role": "tool", "content": "fine"}] * 3]) is None
