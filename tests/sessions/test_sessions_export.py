"""CSV and Parquet."""

import csv

import pytest

from airouter.index.rows import COLUMNS
from airouter.sessions.export import to_csv, to_parquet
from airouter.sessions.find import Filter, Requests


def test_csv(either, tmp_path):
    path = tmp_path / "out.csv"
    assert to_csv(path, Requests(either).rows(Filter())) == 3
    rows = list(csv.DictReader(path.open()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["route"] for row in rows] == ["primary", "primary", "xai"]


def test_parquet(either, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "it's.parquet"
    assert to_parquet(path, Requests(either).rows(Filter())) == 3
    made = duckdb.read_parquet(str(path)).fetchall()
    assert [row[COLUMNS.index("total_ms")] for row in made] == [100.0, 1500.0, 900.0]
