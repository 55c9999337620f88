"""Instructions about a conversation, from an unlisted frontend or a person, are recognised by
structure."""

import pytest

from airouter.classify.machinery import asks_for_a_label, may_be_a_programs
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.rules import RulesTier
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
