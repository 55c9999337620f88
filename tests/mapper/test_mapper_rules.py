"""What a detector says, by its table: R-206, with its traps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airouter.mapper.rules import UNKNOWN, Mapped, Rules, parts_of

TOXIC, OBSCENE, HATE, PII = "HARM.Toxic", "HARM.Obscene", "HARM.Hate", "PII.Other"
MAPS = {
    "toxic": TOXIC,
    "obscene": OBSCENE,
    "hate_speech": HATE,
    "hate": HATE,
    "PII": PII,
    "self-harm/intent": "HARM.SelfHarm",
}


class OneDetector:
    names = ("d",)

    def get(self, name: str) -> Any:
        return SimpleNamespace(name="d", version="1", maps=MAPS) if name == "d" else None


RULES = Rules(OneDetector())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "scores", "confidence"),
    [
        ("toxic", {TOXIC: 1.0}, 0.8),
        (" toxic ", {TOXIC: 1.0}, 0.8),
        ("Toxic", {TOXIC: 1.0}, 0.7),
        ("pii", {PII: 1.0}, 0.7),
        ("toxic content", {TOXIC: 0.8}, 0.5),
        ("very-TOXIC/content", {TOXIC: 0.8}, 0.5),
        ("some_hate_speech", {HATE: 0.8}, 0.5),
        ("user self-harm intent", {"HARM.SelfHarm": 0.8}, 0.5),
        ("obscene and toxic", {OBSCENE: 0.8, TOXIC: 0.8}, 0.5),
        ("nontoxic", {UNKNOWN: 0.0}, 0.0),
        ("non-toxic", {UNKNOWN: 0.0}, 0.0),
        ("not toxic", {UNKNOWN: 0.0}, 0.0),
        ("toxicology", {UNKNOWN: 0.0}, 0.0),
        ("speech", {UNKNOWN: 0.0}, 0.0),
        ("- / _", {UNKNOWN: 0.0}, 0.0),
    ],
)
def test_a_part_is_found_exactly_in_another_case_or_by_whole_tokens(
    output: str, scores: dict[str, float], confidence: float
) -> None:
    found = RULES.map("d", output)
    assert (found.scores, found.confidence) == (scores, confidence)


@pytest.mark.parametrize(
    ("output", "scores", "confidence"),
    [
        ("toxic|obscene", {TOXIC: 1.0, OBSCENE: 1.0}, 0.8),
        ("toxic|Obscene|hate mail", {TOXIC: 1.0, OBSCENE: 1.0, HATE: 0.8}, 0.5),
        ("toxic|", {TOXIC: 1.0}, 0.8),
        ("|| toxic | |", {TOXIC: 1.0}, 0.8),
        ("toxic content|toxic", {TOXIC: 1.0}, 0.5),
        ("toxic|weather", {TOXIC: 1.0, UNKNOWN: 0.0}, 0.0),
    ],
)
def test_parts_are_mapped_singly_and_the_lowest_confidence_counts(
    output: str, scores: dict[str, float], confidence: float
) -> None:
    found = RULES.map("d", output)
    assert (found.scores, found.confidence) == (scores, confidence)
    assert list(found.scores) == list(scores)  # in the order of the output


def test_an_unknown_detector_is_said_in_a_note() -> None:
    found = RULES.map("other", "toxic")
    assert (found.scores, found.confidence) == ({UNKNOWN: 0.0}, 0.0)
    assert "detector is unknown" in found.notes


def test_notes_never_quote_the_output() -> None:
    secret = "alice@example.com"
    for output in (secret, f"toxic|{secret}"):
        found: Mapped = RULES.map("d", output)
        assert found.notes
        assert secret not in found.notes


@pytest.mark.parametrize("output", ["", " ", "|", " | | "])
def test_an_output_may_have_no_parts(output: str) -> None:
    assert parts_of(output) == []
