"""Instructions about a conversation, from an unlisted frontend or a person, are recognised by
structure."""

from typing import Any

import pytest

from airouter.classify.features import features_of
from airouter.classify.machinery import asks_for_a_label, may_be_a_programs, names_a_session
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.rules import RulesTier
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features
from tests.classify.make import features

TIER = RulesTier()

ASK = "who won the match last night"


@pytest.mark.parametrize(
    "system",
    [
        "You name chats. Reply with a title of at most 5 words for the conversation, nothing else.",
        "Rewrite the user's message as a search query. Return JSON.",
        "Summarise the dialogue so far; only the summary, no preamble.",
        "你负责为对话起标题，只输出标题。",
        "Gib dem Gespräch einen Titel, nur den Titel.",
    ],
)
def test_an_instruction_in_the_system_message(system: str) -> None:
    assert may_be_a_programs(features(("system", system), ASK))


def test_an_instruction_after_a_conversation() -> None:
    talk = ("Prove Fermat's little theorem.", ("assistant", "By induction …"))
    assert may_be_a_programs(features(*talk, "Give this conversation a short title."))
    assert not may_be_a_programs(features(*talk, "Now prove Wilson's theorem."))


@pytest.mark.parametrize(
    "system",
    [
        "You are a helpful assistant. Answer only in JSON with title and summary.",
        "You are a chat assistant named Ada. Be brief.",
        "You answer questions about our shop, only from the documents.",
        "",
    ],
)
def test_an_ordinary_system_message(system: str) -> None:
    assert not may_be_a_programs(features(("system", system), ASK))


def test_an_agents_system_message_does_not_count() -> None:
    agent = "You are a coding agent running in a terminal. Summarise the session in short messages."
    assert not may_be_a_programs(features(("system", agent), ASK))


NAMER = "You name chats. Reply with a title of at most 5 words for the conversation, nothing else."
TRANSCRIPT = "User: who won the match last night\nAssistant: I cannot look that up."


def test_a_title_asked_for_by_a_system_message_and_a_transcript_are_meta() -> None:
    assert asks_for_a_label(NAMER)
    assert TIER.vote(features(("system", NAMER), TRANSCRIPT)).label == "META"
    assert TIER.vote(features(("system", NAMER), f"Conversation:\n{TRANSCRIPT}")).label == "META"


@pytest.mark.parametrize(
    ("system", "ask"),
    [
        (NAMER, ASK),
        (NAMER, "What do you make of this talk that my son had with his tablet today, at home, "
         f"before I came back?\n{TRANSCRIPT}"),
        ("You are a helpful assistant.", TRANSCRIPT),
        ("Summarise support conversations in 3 sentences, only the summary.", TRANSCRIPT),
        ("You write short titles for children's books.", TRANSCRIPT),
    ],
)  # fmt: skip
def test_one_of_both_is_not_meta(system: str, ask: str) -> None:
    assert TIER.vote(features(("system", system), ask)).label != "META"


@pytest.mark.parametrize(
    ("ask", "alone"),
    [
        ("latest news on the strike at Heathrow", "ENRICH"),
        ("Prove that for every integer n there are infinitely many primes p such that the order of "
         "n modulo p exceeds p^{1/2}; justify every step.", "COMPLEX"),
    ],
)  # fmt: skip
def test_the_learned_tier_neither_decides_nor_guesses_a_search_or_the_cloud(
    learned: LearnedTier, ask: str, alone: str
) -> None:
    verdict = learned.vote(features(ask))
    assert alone in (verdict.label, verdict.guess)
    verdict = learned.vote(features(("system", NAMER), ask))
    assert not {verdict.label, verdict.guess} & {"ENRICH", "COMPLEX"}


def asked(*schema: str, **more: Any) -> Features:
    """A request of Claude Code's for JSON with these fields."""
    properties = {name: {"type": "string"} for name in schema}
    form = {"type": "json_schema", "json_schema": {"schema": {"properties": properties}}}
    messages = [
        {"role": "system", "content": "You are Claude Code, Anthropic's official CLI."},
        {"role": "user", "content": "Fix the login page on small screens"},
    ]
    payload = {"messages": messages, "response_format": form, **more}
    return features_of(parse_request("chat", payload))


@pytest.mark.parametrize("schema", [("title",), ("title", "branch"), ("isNewTopic", "title")])
def test_an_agents_call_for_a_title(schema: tuple[str, ...]) -> None:
    """By the form of the answer, whatever its prompt says."""
    assert names_a_session(asked(*schema))
    assert TIER.vote(asked(*schema)).label == "META"


def test_other_calls_are_no_titles() -> None:
    """With tools, with other fields, without a form, or by a person's program."""
    tool = {"type": "function", "function": {"name": "run", "parameters": {}}}
    assert not names_a_session(asked("title", tools=[tool]))
    assert not names_a_session(asked("title", "summary"))
    assert not names_a_session(asked())
    assert not names_a_session(asked("title", response_format={"type": "json_object"}))
    assert not names_a_session(asked("title", response_format={"json_schema": {"schema": 5}}))
    assert not names_a_session(asked("title", messages=[{"role": "user", "content": "Title it"}]))
