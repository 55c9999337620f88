"""Reading the index of requests."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from airouter.domain.errors import RouterError

NAME = "index.sqlite"
BUSY_MS = 2_000  # to wait for another worker's transaction
UNREADABLE = f"The index of requests cannot be read; see app.log, or move {NAME} elsewhere."
_BEFORE = "SELECT ifnull(min(rowid) - 1, 0) FROM requests WHERE at >= ?"


def read_only(path: Path) -> sqlite3.Connection:
    """Open the index for reading.

    Raises:
        sqlite3.Error: there is none.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return connection


def look_up(path: Path, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """The rows of a query, for an answer to a client; none while nothing has been written yet.

    Raises:
        RouterError: the index cannot be read.
    """
    if not path.exists():
        return []
    try:
        with closing(read_only(path)) as connection:
            return connection.execute(query, values).fetchall() if is_made(connection) else []
    except sqlite3.Error:
        raise RouterError(UNREADABLE, status=503, code="index_unreadable") from None


def is_made(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there: the file comes a moment earlier."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0])


def last_before(connection: sqlite3.Connection, at: float) -> int:
    """The number of the row before the first request that arrived at a time or later; 0 if there
    is none.

    Args:
        at: seconds since 1970.
    """
    return int(connection.execute(_BEFORE, (at,)).fetchone()[0])
