"""What decisions are based on when Claude Code asks over the Messages API."""

from __future__ import annotations

from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.messages_request import chat
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features
from tests import claude_code


def features(payload: dict[str, Any]) -> Features:
    return features_of(parse_request("chat", chat(payload, [])))


def test_the_ask_is_what_the_person_wrote() -> None:
    """Not the reminder before it, nor the system message behind it."""
    found = features(claude_code.turn())
    assert (found.ask, found.n_user, found.agent) == (claude_code.ASK, 1, True)
    assert any(tool.startswith("bash: ") for tool in found.tools)
    assert (found.last_role, found.last_text) == ("user", claude_code.ASK)


def test_a_tools_result_goes_on_with_the_same_ask() -> None:
    found = features(claude_code.tool_result(claude_code.turn()))
    assert (found.ask, found.last_role) == (claude_code.ASK, "tool")


def test_a_reminder_beside_a_result_is_not_an_ask() -> None:
    payload = claude_code.tool_result(claude_code.turn())
    payload["messages"][-1]["content"].append(claude_code.text(claude_code.REMINDER))
    found = features(payload)
    assert (found.ask, found.last_role) == (claude_code.ASK, "tool")


def test_the_next_ask_has_the_turns_before() -> None:
    payload = claude_code.tool_result(claude_code.turn())
    answer = {"role": "assistant", "content": [claude_code.text("Done: hi.")]}
    asked = {"role": "user", "content": [claude_code.text("Yes, do it")]}
    payload["messages"] += [answer, asked]
    found = features(payload)
    assert found.ask == "Yes, do it"
    assert found.previous[0] == ("user", claude_code.ASK)
    assert found.previous[-1] == ("assistant", "Done: hi.")


def test_images_are_seen_in_results_as_well() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    payload = claude_code.tool_result(claude_code.turn())
    payload["messages"][-1]["content"][0]["content"] = [image]
    assert features(payload).has_images
