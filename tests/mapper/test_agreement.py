"""`map evaluate`: agreement on labelled outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.mapper.agreement import Line, Share, measure, read_lines, table
from airouter.settings.load import ROOT
from tests.mapper.shipped import DETECTORS, TAXONOMY

SAMPLE = ROOT / "data" / "mapper" / "labelled.jsonl"
TOXICITY, INSULT = "HARM.SPEECH.Toxicity", "HARM.SPEECH.Insult"


def test_the_sample_has_all_detectors_and_the_rules_agree_with_most_of_it() -> None:
    lines = read_lines(SAMPLE, TAXONOMY)
    assert len(lines) >= 150
    assert len({(line.detector, line.output) for line in lines}) == len(lines)
    assert set(DETECTORS.names) <= {line.detector for line in lines}
    found = measure(lines, TAXONOMY, DETECTORS)
    assert 0.95 <= found.exact.hits / found.exact.of < 1  # some lines are beyond any rule


def test_the_counts() -> None:
    found = measure(
        [
            Line(detector="detoxify", output="toxic|insult", labels=[INSULT, TOXICITY]),
            Line(detector="detoxify", output="toxic", labels=[TOXICITY, INSULT]),
            Line(detector="perspective", output="INSULT", labels=[TOXICITY]),
            Line(detector="nobody", output="toxic", labels=["OTHER.Unknown"]),
        ],
        TAXONOMY,
        DETECTORS,
    )
    assert found.exact == (2, 4)
    assert (found.by_detector("detoxify"), found.by_detector("nobody")) == ((1, 2), (1, 1))
    assert (found.precision(TOXICITY), found.recall(TOXICITY)) == ((2, 2), (2, 3))
    assert (found.precision(INSULT), found.recall(INSULT)) == ((1, 2), (1, 2))
    rows = {line.split("  ")[0]: line for line in table(found)}
    assert "50.0% (15.0% to 85.0%) of 4 outputs" in next(iter(rows))
    assert {"detoxify", "nobody", TOXICITY, "OTHER.Unknown"} <= set(rows)


@pytest.mark.parametrize(
    ("share", "low", "high"),  # by Wilson's formula, as R's binom.wilson gives them
    [
        (Share(0, 10), 0.0, 0.27753),
        (Share(10, 10), 0.72247, 1.0),
        (Share(90, 100), 0.82563, 0.94477),
        (Share(0, 0), 0.0, 1.0),
    ],
)
def test_the_intervals(share: Share, low: float, high: float) -> None:
    assert share.interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("{", "line 2 is not JSON."),
        ("[]", "line 2: the line: "),
        ('{"detector": "a", "output": "b"}', "line 2: labels: Field required."),
        ('{"detector": "a", "output": "|", "labels": ["PII.General"]}', "the output is empty."),
        ('{"detector": "a", "output": "b", "labels": []}', "line 2: labels is empty"),
        ('{"detector": "a", "output": "b", "labels": ["PII"]}', "has no label 'PII'."),
    ],
)
def test_each_mistake_is_a_sentence(tmp_path: Path, row: str, expected: str) -> None:
    good = json.dumps({"detector": "a", "output": "b", "labels": ["OTHER.Unknown"]})
    path = tmp_path / "lines.jsonl"
    path.write_text(f"{good}\n{row}\n\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_lines(path, TAXONOMY)
    (sentence,) = caught.value.message.splitlines()
    assert expected in sentence


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(tmp_path / "none.jsonl", TAXONOMY)
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no lines"):
        read_lines(tmp_path / "empty.jsonl", TAXONOMY)
