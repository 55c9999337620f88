"""`map check`: nothing in the shipped files, and each mistake that spans files."""

from __future__ import annotations

from pathlib import Path

import pytest

from airouter.mapper.check import check
from tests.mapper.shipped import DETECTORS, FOLDER, broken


def test_the_shipped_files_are_clean_and_their_coverage_is_shown() -> None:
    problems, table = check(FOLDER)
    assert problems == ()
    lines = {line.split("  ")[0]: line.split() for line in table}
    assert set(DETECTORS.names) <= set(lines)
    assert lines["openai-moderation"][1:] == ["-", "-", "-", "13", "-", "-", "13"]
    assert int(lines["labels"][-1]) >= 45
    assert {"SOC 2 CC7.2", "ISO 27001 A.12.4.1", "HIPAA 164.308(a)"} <= set(lines)
    assert max(map(len, table)) <= 100


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("taxonomy.yaml", "[toxic, ", "[obscene, ", "'obscene' is given 2 times"),
        (
            "detectors/openai-moderation.yaml",
            "HARM.SPEECH.HatefulThreat",
            "HARM.SPEECH.Threat",
            "No detector leads to the label HARM.SPEECH.HatefulThreat",
        ),
        ("detectors/detoxify.yaml", "SPEECH.Insult", "SPEECH.Insults", "has no label"),
        ("detectors/detoxify.yaml", "  insult:", "  THREAT:", "differ in case alone"),
        ("frameworks.yaml", "HARM.CRIME.Malware", "HARM.Malware", "no label or category"),
        ("schema.json", '"PII.General"', '"PII.Any"', "is not that of the taxonomy"),
        ("schema.json", "{", "[", "run `python -m airouter map schema`."),
    ],
)
def test_each_mistake_is_one_sentence(
    tmp_path: Path, name: str, old: str, new: str, expected: str
) -> None:
    problems, table = check(broken(tmp_path, name, old, new))
    assert len(problems) == 1
    assert expected in problems[0]
    assert table == ()


def test_a_label_that_was_renamed_is_missed_everywhere(tmp_path: Path) -> None:
    problems, _ = check(broken(tmp_path, "taxonomy.yaml", "        Malware:", "        Virus:"))
    text = "\n".join(problems)
    for name in ("llama-guard", "nemotron-safety", "orchestrated-multi", "frameworks", "schema"):
        assert name in text
