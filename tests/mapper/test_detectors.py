"""The detectors, and each kind of mistake in them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.mapper.detectors import Detectors
from tests.mapper.shipped import DETECTORS, TAXONOMY, broken

# Where a value would be lost if its list were copied badly; the counts are those of the sources.
COUNTS = {
    "openai-moderation": 13,
    "comprehend-pii": 36,
    "comprehend-toxicity": 7,
    "jailbreak-classifier": 2,
    "perspective": 22,
    "prompt-injection": 2,
    "stereotype-detector": 9,
}


def test_the_shipped_detectors_name_their_sources() -> None:
    assert len(DETECTORS.names) >= 12
    assert {"azure-content-safety", "llama-guard", "detoxify", "presidio", "google-dlp"} <= set(
        DETECTORS.names
    )
    assert {"regex-pii", "orchestrated-multi"} | set(COUNTS) <= set(DETECTORS.names)
    for detector in DETECTORS:
        assert DETECTORS.get(detector.name) is detector
        assert detector.source.startswith("https://")
        assert detector.version
        assert isinstance(detector.retrieved, date)


def test_the_lists_are_whole() -> None:
    maps = {detector.name: detector.maps for detector in DETECTORS}
    assert {name: len(maps[name]) for name in COUNTS} == COUNTS
    assert {f"S{n}" for n in range(1, 15)} <= set(maps["llama-guard"])
    assert len(maps["presidio"]) >= 80
    assert len(maps["google-dlp"]) >= 200


def test_a_detector_that_is_not_there() -> None:
    assert DETECTORS.get("nobody") is None
    assert DETECTORS.get("OpenAI-Moderation") is None


MISTAKES = [
    ("HARM.SPEECH.Insult", "HARM.SPEECH.Insults", "has no label 'HARM.SPEECH.Insults'"),
    ("HARM.SPEECH.Insult", "OTHER.Unknown", "OTHER.Unknown is for what is not mapped"),
    ("  insult:", "  Threat:", "maps: threat, Threat differ in case alone; keep one of them."),
    ("  insult:", "  threat:", "'threat' is set twice, in lines "),
    ("  insult:", '  " insult":', "maps: ' insult' is never found"),
    ("  insult:", '  "a|b":', "maps: 'a|b' is never found"),
    ("  insult:", "  no:", "Input should be a valid string."),
    ("detector: detoxify", "detector: detox", "detector must be 'detoxify'"),
    ("source: https://", "source: http://", "source: String should match pattern"),
    ("retrieved: 2026-11-28", "retrieved: today", "retrieved: Input should be a valid date."),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_each_mistake_is_a_sentence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Detectors.load(broken(tmp_path, "detectors/detoxify.yaml", old, new), TAXONOMY)
    (sentence,) = caught.value.message.splitlines()
    assert expected in sentence
    assert "detoxify.yaml" in sentence


def test_mistakes_in_all_files_are_found_at_once(tmp_path: Path) -> None:
    folder = broken(tmp_path, "detectors/detoxify.yaml", "SPEECH.Insult", "SPEECH.Insults")
    (folder / "detectors" / "perspective.yaml").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Detectors.load(folder, TAXONOMY)
    assert len(caught.value.message.splitlines()) == 2


def test_no_detectors_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no detectors"):
        Detectors.load(tmp_path, TAXONOMY)
