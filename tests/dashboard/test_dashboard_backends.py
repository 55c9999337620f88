"""A backend's state in words, of several workers together."""

from __future__ import annotations

from typing import Any

from airouter.dashboard.backends import together


def view(**changes: Any) -> dict[str, Any]:
    given = {
        "name": "primary",
        "model": None,
        "state": "up",
        "good": True,
        "text": "up",
        "breaker": "closed",
        "slots": 4,
        "in_use": 1,
        "waiting": 0,
        "server": None,
    }
    return given | changes


def test_the_worst_state_is_shown_and_slots_are_added():
    broken = view(state="open", good=False, text="circuit breaker open", breaker="open", waiting=3)
    both = together([view(model="m", server={"running": 2}), broken])
    assert (both["state"], both["good"]) == ("open", False)
    assert both["text"] == "circuit breaker open (in 1 of 2 workers)"
    assert (both["slots"], both["in_use"], both["waiting"]) == (8, 2, 3)
    assert (both["model"], both["server"]) == ("m", {"running": 2})


def test_equal_states_need_no_remark():
    assert together([view(), view()])["text"] == "up"
    assert together([view()])["slots"] == 4
