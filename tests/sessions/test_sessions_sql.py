"""Queries, which reach nothing but copies of the tables."""

import sys

import pytest

from airouter.sessions import sql
from airouter.sessions.find import NoSessions


def test_without_duckdb_a_sentence_says_what_to_install(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(NoSessions, match="pip install duckdb=="):
        sql.run(logs, "SELECT 1", 10)


def test_requests_sessions_and_events(either):
    pytest.importorskip("duckdb")
    query = (
        "SELECT r.route, s.steps->0->>'response_content' "
        "FROM requests r JOIN sessions s USING (id) ORDER BY r.at"
    )
    assert sql.run(either, query, 2).rows == [("primary", None), ("primary", "an egret")]
    assert sql.run(either, query, 2).more
    assert sql.run(either, "SELECT * FROM backend_events, slo_events", 2).rows == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO '{}/out.csv'",
        "ATTACH '{}/out.db'",
        "SET enable_external_access = true",
        "SELECT * FROM requests_of",
        "SELEKT",
    ],
)
def test_other_files_and_mistakes_are_a_sentence(logs, statement):
    pytest.importorskip("duckdb")
    with pytest.raises(NoSessions, match="DuckDB: "):
        sql.run(logs, statement.format(logs), 10)
    assert not list(logs.glob("out.*"))
