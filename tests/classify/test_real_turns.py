"""What people and agents really send is not taken for a frontend's housekeeping, and is read
aright.

`data/real_turns.jsonl` holds what is asked (`text`) and of what (`to`: a chat or an agent). Each
ask is sent in the shapes in which frontends and agents send one, in words of our own around their
marks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from airouter.classify.features import features_of
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.rules import RulesTier
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features

Messages = list[dict[str, Any]]
LINES = (Path(__file__).parent / "data" / "real_turns.jsonl").read_text("utf-8").splitlines()
TURNS = [orjson.loads(line) for line in LINES]
NOTE = "<system-reminder>\nAs you answer: latest news, proofs, titles.\n</system-reminder>"
STATE = "<environment_details>\n# Visible Files\nproof_of_riemann.md\n</environment_details>"
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("bash", "read_file", "edit")]
WORK = {"role": "assistant", "content": "Done."}


def parts(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


CHAT: dict[str, Callable[[str], Messages]] = {
    "alone": lambda ask: [user(ask)],
    "with a persona": lambda ask: [system("You are a friendly helper."), user(ask)],
}
AGENTS: dict[str, Callable[[str], Messages]] = {
    "Claude Code": lambda ask: [
        system("You are Claude Code, a command line tool."),
        parts(NOTE * 3, ask, NOTE),
        system("Notes on the tools."),
    ],
    "Claude Code, a reminder last": lambda ask: [system("x" * 5000), user(ask), WORK, user(NOTE)],
    "Claude Code, continued": lambda ask: [
        parts("This session is being continued from a previous conversation. Prove it.", ask)
    ],
    "Codex": lambda ask: [
        {"role": "developer", "content": "You are Codex, a coding agent."},
        user("# AGENTS.md instructions for /src\n\n<INSTRUCTIONS>\nBe brief.\n</INSTRUCTIONS>"),
        user("<environment_context>\n  <cwd>/src</cwd>\n</environment_context>"),
        user(ask),
    ],
    "Cline": lambda ask: [system("You are Cline."), parts(f"<task>\n{ask}\n</task>", STATE * 20)],
    "Cline, a result": lambda ask: [
        parts(f"<task>\n{ask}\n</task>", STATE),
        WORK,
        parts("[read_file for 'utils.py'] Result:", "weather today: foo = 1\n" * 500, STATE),
    ],
    "Roo Code, feedback": lambda ask: [
        user("<task>\nBegin.\n</task>"),
        WORK,
        parts(f"[attempt_completion] Result:\n\n<feedback>\n{ask}\n</feedback>", STATE),
    ],
    "Aider": lambda ask: [
        system("Act as an expert software developer."),
        user("I have *added these files to the chat* so you can see their contents.\na.py"),
        WORK,
        user(f"{ask}\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery block has a path."),
    ],
    "OpenCode": lambda ask: [
        system("You are opencode."),
        parts(
            ask, 'Called the Read tool with the following input: {"a": 1}', "<file>\n1| x</file>"
        ),
    ],
}
SENT = [
    (f"{shape}: {turn['text'][:40]}", turn["text"], shapes[shape](turn["text"]))
    for kind, shapes in (("chat", CHAT), ("agent", AGENTS))
    for turn in TURNS
    if turn["to"] == kind
    for shape in shapes
]
AGENTS_SENT = [one for one in SENT if one[0].partition(":")[0] in AGENTS]


def read(messages: Messages, **fields: Any) -> Features:
    return features_of(parse_request("chat", {"messages": messages, **fields}))


def test_there_are_at_least_two_hundred_of_them() -> None:
    assert len(SENT) >= 200
    assert len(AGENTS_SENT) >= 100


def test_none_is_meta_by_rules() -> None:
    tier = RulesTier()
    votes = {name: tier.vote(read(messages)).label for name, _, messages in SENT}
    assert [name for name, label in votes.items() if label == "META"] == []


def test_none_is_meta_by_the_model_nor_called_housekeeping_of_an_agent(
    learned: LearnedTier,
) -> None:
    for name, _, messages in SENT:
        assert learned.vote(read(messages)).label != "META", name
    for name, _, messages in AGENTS_SENT:
        assert (
            "similar to a frontend's internal prompt" not in learned.vote(read(messages)).reason
        ), name


@pytest.mark.parametrize("name", list(AGENTS))
def test_the_ask_of_an_agents_request_is_the_persons(name: str) -> None:
    for turn in TURNS:
        if turn["to"] == "agent":
            found = read(AGENTS[name](turn["text"]), tools=TOOLS)
            assert found.ask == turn["text"]
            assert found.agent
            assert found.previous == () or "<" not in found.previous[0][1]
