"""The model's output: valid as it came, repaired once, or of no use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mapper_world import mapping

from airouter.domain.errors import ConfigError
from airouter.mapper.output_schema import REPAIRED, OutputSchema
from airouter.mapper.taxonomy import Taxonomy

FOLDER = Path(__file__).resolve().parents[2] / "config" / "mapper"
TAXONOMY = Taxonomy.load(FOLDER)
SCHEMA = OutputSchema.load(FOLDER, TAXONOMY)
ONE, TWO = [name for name in TAXONOMY.labels if name != "OTHER.Unknown"][:2]
ALIASED = next(label for label in TAXONOMY.labels.values() if label.aliases)
GOOD = mapping(ONE, TWO)


def test_a_valid_output() -> None:
    checked = SCHEMA.check(json.dumps(GOOD))
    assert checked.valid
    assert checked.mapped is not None
    assert (checked.mapped.scores, checked.mapped.confidence) == (GOOD["scores"], 0.9)
    assert list(checked.mapped.scores) == [ONE, TWO]
    assert checked.mapped.notes == ""


def test_a_models_notes_are_dropped_as_they_may_quote_the_output() -> None:
    checked = SCHEMA.check(json.dumps({**GOOD, "notes": "alice@example.com"}))
    assert checked.mapped is not None
    assert checked.mapped.notes in ("", REPAIRED)


REPAIRABLE: list[Any] = [
    f"```json\n{json.dumps(GOOD)}\n```",
    f"<think>{{hm}}</think>Here it is: {json.dumps(GOOD)}",
    {**GOOD, "explanation": "because"},
    {"taxonomy": ALIASED.aliases[0], "confidence": 0.9},
    {**mapping(ONE.lower()), "scores": {ONE.lower(): 0.5}},
    {**GOOD, "scores": {ONE: 0.5}},
    {**GOOD, "scores": {**GOOD["scores"], "OTHER.Unknown": 0.1}},
]


@pytest.mark.parametrize("output", REPAIRABLE, ids=str)
def test_an_output_is_repaired_where_that_is_no_guess(output: Any) -> None:
    checked = SCHEMA.check(output if isinstance(output, str) else json.dumps(output))
    assert not checked.valid
    assert checked.mapped is not None
    assert set(checked.mapped.scores) <= set(TAXONOMY.labels)
    assert checked.mapped.notes == REPAIRED


USELESS: list[Any] = [
    "",
    "no JSON at all",
    "{}",
    "[]",
    "null",
    json.dumps(GOOD)[:-5],
    mapping("HARM.NoSuchLabel"),
    mapping(),
    {**GOOD, "confidence": 1.2},
    {**GOOD, "confidence": "high"},
    {**GOOD, "confidence": True},
    {**GOOD, "scores": dict.fromkeys((ONE, TWO), 95)},
    {"taxonomy": [ONE], "scores": {ONE: 1.0}},
    {**GOOD, "taxonomy": [ONE, 5]},
    '{"taxonomy": ["' + ONE + '"], "scores": {"' + ONE + '": NaN}, "confidence": 0.9}',
]


@pytest.mark.parametrize("output", USELESS, ids=str)
def test_an_output_of_no_use(output: Any) -> None:
    checked = SCHEMA.check(output if isinstance(output, str) else json.dumps(output))
    assert (checked.valid, checked.mapped) == (False, None)


@pytest.mark.parametrize("text", [None, "{", '{"type": 5}'])
def test_a_schema_that_cannot_be_used_is_a_configuration_error(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ConfigError, match=r"schema\.json"):
        OutputSchema.load(tmp_path, TAXONOMY)
