"""The database that workers of a run share."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from airouter.resilience.run_database import RunDatabase

SCHEMA = ("CREATE TABLE IF NOT EXISTS notes (text TEXT)",)


def database(path: Path, pages: int = 1000) -> RunDatabase:
    return RunDatabase(path, SCHEMA, pages, busy=1.0)


def test_workers_see_what_others_wrote(tmp_path: Path) -> None:
    one, other = database(tmp_path / "a.sqlite"), database(tmp_path / "a.sqlite")
    one.connected().execute("INSERT INTO notes VALUES ('seen')")
    assert other.connected().execute("SELECT text FROM notes").fetchall() == [("seen",)]
    one.close()
    other.close()
    other.close()
    assert other.connected().execute("SELECT count(*) FROM notes").fetchone() == (1,)
    other.close()


def test_it_does_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    small = database(tmp_path / "a.sqlite", pages=8)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        small.connected().execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))
    small.close()


def test_a_file_that_is_no_database_is_an_error_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"no database at all" * 100)
    broken = database(tmp_path / "a.sqlite")
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError):
            broken.connected()
    broken.close()
