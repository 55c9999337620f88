"""Databases of earlier versions become ones of this version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from airouter.index import schema
from airouter.index.rows import COLUMNS
from airouter.index.schema import MIGRATIONS, NewerIndex, migrate


def database(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_a_new_database_has_all_columns(tmp_path: Path) -> None:
    with closing(database(tmp_path / "x")) as connection:
        migrate(connection)
        found = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
        assert tuple(found) == COLUMNS
        migrate(connection)  # again: nothing is left to do


def test_each_migration_is_applied_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(database(tmp_path / "x")) as connection:
        migrate(connection)
        monkeypatch.setattr(
            schema,
            "MIGRATIONS",
            (*MIGRATIONS, "ALTER TABLE requests ADD COLUMN more TEXT; nonsense"),
        )
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
        assert "more" not in columns
        monkeypatch.setattr(
            schema, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE requests ADD COLUMN more TEXT")
        )
        migrate(connection)
        migrate(connection)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
        assert columns.count("more") == 1


def test_requests_of_the_first_version_are_kept(tmp_path: Path) -> None:
    """They have no key."""
    with closing(database(tmp_path / "x")) as connection:
        for statement in schema._COMMENT.sub("", MIGRATIONS[0]).split(";"):
            connection.execute(statement)
        columns = [name for name in COLUMNS if name != "key_id"]
        values = ", ".join("1" for _ in columns)
        connection.execute(f"INSERT INTO requests ({', '.join(columns)}) VALUES ({values})")
        connection.execute("PRAGMA user_version = 1")
        migrate(connection)
        assert connection.execute("SELECT id, key_id FROM requests").fetchall() == [("1", None)]


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    with closing(database(tmp_path / "x")) as connection:
        connection.execute("PRAGMA user_version = 99")
        with pytest.raises(NewerIndex):
            migrate(connection)
