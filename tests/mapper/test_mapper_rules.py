"""The rules: what each detector says, and what must not match."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.mapper.detectors import Detector
from airouter.mapper.rules import Mapped, by_rules, parts
from airouter.mapper.taxonomy import UNKNOWN
from tests.mapper.shipped import DETECTORS, TAXONOMY

TOXICITY, PROFANITY = "HARM.SPEECH.Toxicity", "HARM.SPEECH.Profanity"


def mapped(output: str, detector: str = "detoxify") -> Mapped:
    assert DETECTORS.get(detector)
    return by_rules(DETECTORS.get(detector), output, TAXONOMY)


def nothing(found: Mapped) -> bool:
    return found[:3] == ((UNKNOWN,), {UNKNOWN: 0.0}, 0.0)


@pytest.mark.parametrize("detector", [*DETECTORS], ids=lambda detector: detector.name)
def test_every_raw_value_maps_to_its_label(detector: Detector) -> None:
    for raw, label in detector.maps.items():
        assert by_rules(detector, raw, TAXONOMY) == ((label,), {label: 1.0}, 0.8, ""), raw


@pytest.mark.parametrize("detector", [*DETECTORS], ids=lambda detector: detector.name)
def test_every_raw_value_is_found_without_regard_to_case(detector: Detector) -> None:
    for raw, label in detector.maps.items():
        found = by_rules(detector, raw.swapcase(), TAXONOMY)
        assert found == ((label,), {label: 1.0}, 0.7, ""), raw


@pytest.mark.parametrize("detector", [*DETECTORS], ids=lambda detector: detector.name)
def test_all_raw_values_at_once_give_all_labels(detector: Detector) -> None:
    found = by_rules(detector, "|".join(detector.maps), TAXONOMY)
    assert found.labels == tuple(dict.fromkeys(detector.maps.values()))
    assert (set(found.scores.values()), found.confidence) == ({1.0}, 0.8)


@pytest.mark.parametrize(
    "output",
    [
        "",
        " ",
        "|",
        "nontoxic",
        "non-toxic",
        "not toxic",
        "toxic_not_detected",
        "toxicology",
        "oxic",
    ],
)
def test_what_is_not_a_value_does_not_match(output: str) -> None:
    assert nothing(mapped(output))


def test_every_part_counts() -> None:
    both = {TOXICITY: 1.0, PROFANITY: 1.0}
    assert mapped("toxic|obscene") == (tuple(both), both, 0.8, "")
    assert mapped(" toxic || obscene|toxic|") == (tuple(both), both, 0.8, "")


def test_the_confidence_is_the_lowest_and_the_score_the_best() -> None:
    found = mapped("toxic|TOXIC|toxic comment")
    assert found == ((TOXICITY,), {TOXICITY: 1.0}, 0.5, "")
    found = mapped("toxic|frobnicated")
    assert found.labels == (TOXICITY, UNKNOWN)
    assert (found.scores, found.confidence) == ({TOXICITY: 1.0, UNKNOWN: 0.0}, 0.0)
    assert found.notes == "Parts without a rule: 1 of 2."


def test_an_unknown_detector_says_nothing() -> None:
    found = by_rules(None, "toxic", TAXONOMY)
    assert nothing(found)
    assert found.notes


def test_no_output_is_quoted() -> None:
    assert "secret" not in str(mapped("my secret text"))


@pytest.mark.parametrize(
    ("detector", "output", "label"),
    [
        ("detoxify", "toxic comment", TOXICITY),
        ("detoxify", "severe toxic comment", "HARM.SPEECH.SevereToxicity"),  # the longer run
        ("llama-guard", "unsafe\nS10", "HARM.SPEECH.HateSpeech"),  # the first in the file
        ("llama-guard", "S1: Violent Crimes", "HARM.VIOLENCE.ViolentCrime"),
        ("llama-guard", "S2 Non-Violent Crimes", "HARM.CRIME.Illicit"),
        ("presidio", "AADHAAR", "PII.GOVERNMENT_ID.NationalId"),
        ("google-dlp", "AUSTRIA/PASSPORT", "PII.GOVERNMENT_ID.Passport"),
    ],
)
def test_whole_tokens_match_in_part(detector: str, output: str, label: str) -> None:
    assert mapped(output, detector) == ((label,), {label: 0.8}, 0.5, "")


@pytest.mark.parametrize("output", ["number", "US", "id number"])
def test_a_part_within_values_of_different_labels_matches_none(output: str) -> None:
    assert nothing(mapped(output, "google-dlp"))


def test_names_and_aliases_of_the_taxonomy_are_known_to_every_detector() -> None:
    assert mapped(TOXICITY) == ((TOXICITY,), {TOXICITY: 1.0}, 0.7, "")
    ssn = "PII.GOVERNMENT_ID.SocialSecurity"
    assert mapped("social-security number") == ((ssn,), {ssn: 1.0}, 0.7, "")
    assert nothing(mapped(UNKNOWN))


def test_parts() -> None:
    assert parts("a| b |a||") == ["a", "b"]
    assert parts("") == parts(" | ") == []


WORDS = st.sampled_from(["toxic", "S1", "non", "US", "NUMBER", "|", "_", "-", "/", " ", "\n", "ß"])


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=30))
def test_any_output_gives_labels_of_the_taxonomy(output: str) -> None:
    for detector in (*map(DETECTORS.get, ("llama-guard", "google-dlp")), None):
        found = by_rules(detector, output, TAXONOMY)
        assert found.labels
        assert set(found.labels) == set(found.scores) <= set(TAXONOMY.labels)
        assert all(0 <= share <= 1 for share in (*found.scores.values(), found.confidence))
        assert len(found.notes) <= 500
        assert found == by_rules(detector, output, TAXONOMY)
