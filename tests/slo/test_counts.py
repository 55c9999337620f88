"""Events in windows, read from the index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airouter.index.index import open_for_writing
from airouter.slo.counts import _EACH, NAMES, Counts

NOW = 1_800_000_000.0
MINUTE = int(NOW // 60)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path / "index.sqlite")) as connection:
        yield connection


def put(database: sqlite3.Connection, ago: int, good: int, bad: int, slo: str = "x") -> None:
    database.execute(
        "INSERT OR REPLACE INTO slo_events VALUES (?, ?, ?, ?)", (slo, MINUTE - ago, good, bad)
    )


def test_events_are_added_up_within_a_window(database: sqlite3.Connection) -> None:
    for ago, good, bad in ((0, 1, 0), (4, 10, 1), (5, 100, 2), (59, 1000, 4), (60, 10000, 8)):
        put(database, ago, good, bad)
    counts = Counts()
    counts.read(database, NOW)
    assert counts.within("x", 300, NOW) == (11, 1)
    assert counts.within("x", 3600, NOW) == (1111, 7)
    assert counts.within("x", 86_400, NOW) == (11111, 15)
    assert counts.within("y", 300, NOW) == (0, 0)
    assert counts.error_ratio("x", 300, NOW) == pytest.approx(1 / 12)
    assert counts.error_ratio("y", 300, NOW) is None
    assert counts.within("x", 300, NOW + 600) == (0, 0)


def test_later_events_of_the_same_minute_are_seen(database: sqlite3.Connection) -> None:
    counts = Counts()
    put(database, 1, 5, 0)
    put(database, 0, 1, 0)
    counts.read(database, NOW)
    put(database, 1, 6, 1)  # another worker's batch
    put(database, 0, 2, 0)
    counts.read(database, NOW)
    counts.read(database, NOW)
    assert counts.within("x", 300, NOW) == (8, 1)
    put(database, -1, 3, 3)
    counts.read(database, NOW + 60)
    assert counts.within("x", 300, NOW + 60) == (11, 4)


def test_old_events_count_by_the_hour_and_not_for_longer_than_30_days(
    database: sqlite3.Connection,
) -> None:
    for days in (1, 5, 10, 29, 31):
        for minute in range(120):
            put(database, days * 1440 + minute, 1, 1)
    counts = Counts()
    counts.read(database, NOW)
    assert counts.within("x", 30 * 86_400, NOW) == (480, 480)
    assert len(counts._series["x"][0]) < 140


def test_a_database_without_events_is_empty(database: sqlite3.Connection) -> None:
    counts = Counts()
    counts.read(database, NOW)
    assert counts.within("x", 300, NOW) == (0, 0)


def test_reading_on_for_days_is_as_reading_anew(database: sqlite3.Connection) -> None:
    """Minutes become hours, and what is older than 30 days is forgotten."""
    counts, steps = Counts(), range(0, 33 * 1440, 29)
    for step in steps:
        put(database, -step, step % 7 + 1, step % 3)
        if step % 10 == 0:
            put(database, -step, 1, 1, "y")  # rarer than once an hour
        counts.read(database, NOW + step * 60)
    now = NOW + steps[-1] * 60
    anew = Counts()
    anew.read(database, now)
    for slo in ("x", "y"):
        for seconds in (300, 86_400, 3 * 86_400, 30 * 86_400):
            assert counts.within(slo, seconds, now) == anew.within(slo, seconds, now)
        # Except for the hour in which the 30 days begin.
        assert counts._series[slo][0][-140:] == anew._series[slo][0][-140:]
        assert len(counts._series[slo][0]) - len(anew._series[slo][0]) <= 2


def test_an_evaluation_does_not_read_the_whole_table(database: sqlite3.Connection) -> None:
    for statement, values in ((NAMES, ()), (_EACH, ("x", 1))):
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        tables = [line for line in plan if "slo_events" in line]
        assert tables
        assert [line for line in tables if not line.startswith("SEARCH")] == []
