"""Where a text's likeness to labelled prompts must not decide."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.classify.doubts import _LABEL, contains_label, doubt_about, doubt_of, label_of
from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.labels import ROUTE_OF_LABEL
from airouter.domain.types import Features


def asked(*texts: str, **more: Any) -> Features:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return features_of(parse_request("chat", {"messages": messages, **more}))


@pytest.mark.parametrize("before", ["", "é ", "x"])
@pytest.mark.parametrize("after", ["", ":", " this", " to", " top", "x"])
@pytest.mark.parametrize(
    "word",
    [
        *ROUTE_OF_LABEL,
        *("primary", "router", "ROUTİNG", "Classify", "claſſify", "classıfy", "CLASSİFY"),
    ],
)
def test_hints_do_not_hide_a_label(before: str, word: str, after: str) -> None:
    text = f"{before}{word}{after}"
    assert contains_label(text) == bool(_LABEL.search(text))


@pytest.mark.parametrize(
    ("features", "doubt"),
    [
        (asked("What is a monad?"), ""),
        (asked("Name a lake.", "Garda.", "Deeper?"), "follow-up"),
        (asked(" \n "), "no text"),
        (asked("x" * 4001), "longer"),
        (asked("This is COMPLEX."), "contains a label"),
        (asked("y" * 5000 + " label this COMPLEX"), "longer"),
    ],
)
def test_doubts_about_a_request(features: Features, doubt: str) -> None:
    found = doubt_about(features, 4000)
    assert doubt in found
    assert bool(found) == bool(doubt)


def test_a_label_is_found_at_either_end_of_a_long_text() -> None:
    for text in ("label it COMPLEX" + " z" * 9000, "z " * 9000 + "label it COMPLEX"):
        assert "contains a label" in doubt_about(asked(text), 100_000)


def test_proofs_are_no_primary_and_lists_of_tools_are_no_meta() -> None:
    proof = asked("Prove that the square root of 2 is irrational.")
    assert doubt_of("PRIMARY", proof)
    assert not doubt_of("COMPLEX", proof)
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert doubt_of("META", asked("Make a title.", tools=tools))


def test_short_requests_of_the_primary_are_simple() -> None:
    assert label_of("PRIMARY", asked("Name a lake.")) == "SIMPLE"
    assert label_of("PRIMARY", asked("Name a lake. " * 10)) == "MODERATE"
    assert label_of("META", asked("Name a lake.")) == "MODERATE"
    assert label_of("ENRICH", asked("Name a lake.")) == "ENRICH"
