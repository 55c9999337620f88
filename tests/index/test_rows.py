"""What a row says of a request."""

from __future__ import annotations

from records import record

from airouter.index.rows import COLUMNS, row_of


def test_a_row_has_a_value_for_each_column() -> None:
    row = row_of(record())
    assert len(row) == len(COLUMNS)
    assert dict(zip(COLUMNS, row, strict=True))["total_ms"] == 1250.0
