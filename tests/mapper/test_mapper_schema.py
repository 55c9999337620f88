"""The schema of the model's output."""

from __future__ import annotations

import json

from airouter.mapper.schema import NAME, current, schema, text
from airouter.mapper.taxonomy import PATTERN
from tests.mapper.shipped import FOLDER, TAXONOMY


def test_the_shipped_schema_is_current() -> None:
    """`python -m airouter map schema` writes it."""
    assert current(FOLDER, TAXONOMY)
    assert json.loads((FOLDER / NAME).read_text(encoding="utf-8")) == schema(TAXONOMY)


def test_it_allows_labels_of_the_taxonomy_alone() -> None:
    found = schema(TAXONOMY)
    labels = found["properties"]["taxonomy"]
    assert labels["items"] == {"type": "string", "pattern": PATTERN, "enum": [*TAXONOMY.labels]}
    assert labels["minItems"] == 1
    scores = found["properties"]["scores"]
    assert list(scores["properties"]) == [*TAXONOMY.labels]
    assert found["additionalProperties"] is scores["additionalProperties"] is False
    assert set(found["required"]) == set(found["properties"]) - {"notes"}


def test_a_missing_or_older_file_is_not_current(tmp_path) -> None:
    assert not current(tmp_path, TAXONOMY)
    (tmp_path / NAME).write_text(text(TAXONOMY).replace("HARM.General", "HARM.Any"))
    assert not current(tmp_path, TAXONOMY)
    (tmp_path / NAME).write_text(text(TAXONOMY))
    assert current(tmp_path, TAXONOMY)
