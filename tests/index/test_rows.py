"""What a row says of a request."""

from __future__ import annotations

from typing import Any

import pytest
from records import record

from airouter.domain.types import AttemptOutcome
from airouter.index.rows import COLUMNS, own_ms, row_of

ONE = [AttemptOutcome("gpu0", "ok")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tier": "learned", "total_ms": 100, "inference_ms": 90, "classification_ms": 5}, 10),
        ({"tier": "one_token", "total_ms": 100, "inference_ms": 60, "classification_ms": 30}, 10),
        (
            {
                "tier": "reasoning",
                "total_ms": 100,
                "inference_ms": 90,
                "classification_ms": 80,
                "speculation": "won",
            },
            10,
        ),
        (
            {
                "tier": "rules",
                "total_ms": 100,
                "inference_ms": 20,
                "queue_ms": 30,
                "enrichment_ms": 40,
            },
            10,
        ),
        ({"tier": "rules", "total_ms": 100, "inference_ms": 120}, 0),
        ({"outcome": "upstream_error"}, None),
        ({"attempts": [*ONE, AttemptOutcome("xai", "ok")]}, None),
    ],
)
def test_the_routers_own_part(changes: dict[str, Any], expected: float | None) -> None:
    assert own_ms(record(**{"attempts": ONE} | changes)) == expected


def test_a_row_has_a_value_for_each_column() -> None:
    row = row_of(record())
    assert len(row) == len(COLUMNS)
    assert dict(zip(COLUMNS, row, strict=True))["total_ms"] == 1250.0
