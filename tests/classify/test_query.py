"""The text about a request that a classifier reads: the latest turns, then the request itself."""

from dataclasses import replace

from airouter.classify.tiers.query import classifier_query, middle_out
from airouter.settings.cascade import OneTokenTierSettings
from tests.classify.make import features


def talk(ask="And in winter?"):
    previous = (("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))
    return replace(features(ask), previous=previous)


def test_the_latest_turns_come_before_the_request():
    query = classifier_query(talk(), OneTokenTierSettings(context_turns=2), 300)
    assert query == "Conversation so far:\nuser: three\nassistant: four\n\nQuery: And in winter?"


def test_no_turns_are_sent_if_none_are_wanted():
    """`previous[-0:]` would be all of them."""
    assert classifier_query(talk(), OneTokenTierSettings(context_turns=0), 300) == (
        "Query: And in winter?"
    )


def test_long_texts_lose_their_middle():
    query = classifier_query(talk("a" * 500 + "z" * 500), OneTokenTierSettings(max_chars=300), 3)
    assert "user: th\n[…]\ne\n" in query
    assert query.endswith(f"Query: {'a' * 200}\n[…]\n{'z' * 100}")
    assert middle_out("short", 300) == "short"
