"""Keeps responses for `previous_response_id` and `GET /v1/responses/{id}`, for all workers.

They are in a database in the run's temporary directory, with what clients wrote; nobody but the
holder of the key that made one gets it.
"""

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson

from airouter.domain.types import immutable

_MOST_PAGES = 65_536  # of 4 KB: 256 MB
_BUSY = 0.5  # seconds that a worker waits for another one's write
_TABLE = """
    CREATE TABLE IF NOT EXISTS responses (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, holder TEXT NOT NULL,
        items BLOB NOT NULL, response BLOB NOT NULL
    )
"""
_OLDEST = "SELECT number FROM responses ORDER BY number LIMIT ?"


@immutable
class Stored:
    """A response, and all items of its input, those of the responses before it included."""

    items: list[Any]
    response: dict[str, Any]


class ResponseStore:
    """Mutable state: the connection, opened when it is first needed, under a lock. Where the
    database cannot be used, nothing is found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def keep(self, holder: str, items: list[Any], response: dict[str, Any], most: int) -> None:
        """Keep a response.

        Args:
            holder: the id of the client's key; "" without one.
            most: responses that are kept at most, of all holders.
        """
        row = response["id"], holder, orjson.dumps(items), orjson.dumps(response)
        insert = "INSERT INTO responses (id, holder, items, response) VALUES (?, ?, ?, ?)"
        with self._lock, suppress(sqlite3.Error, OSError):
            connection = self._connected()
            try:
                connection.execute(insert, row)
            except sqlite3.OperationalError:  # full
                half = connection.execute("SELECT (COUNT(*) + 1) / 2 FROM responses").fetchone()
                connection.execute(f"DELETE FROM responses WHERE number IN ({_OLDEST})", half)
                connection.execute(insert, row)
            over = connection.execute("SELECT COUNT(*) FROM responses").fetchone()[0] - most
            if over > 0:
                connection.execute(f"DELETE FROM responses WHERE number IN ({_OLDEST})", (over,))

    def find(self, holder: str, id: str) -> Stored | None:
        """The response of this id; None: there is none, or it is somebody else's."""
        with self._lock, suppress(sqlite3.Error, OSError):
            found = (
                self._connected()
                .execute(
                    "SELECT items, response FROM responses WHERE id = ? AND holder = ?",
                    (id, holder),
                )
                .fetchone()
            )
            return Stored(orjson.loads(found[0]), orjson.loads(found[1])) if found else None
        return None

    def forget(self, holder: str, id: str) -> bool:
        """Remove a response: whether there was one."""
        with self._lock, suppress(sqlite3.Error, OSError):
            removed = self._connected().execute(
                "DELETE FROM responses WHERE id = ? AND holder = ?", (id, holder)
            )
            return removed.rowcount > 0
        return False

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with closing(connection):
                    pass

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = OFF")  # it ends with the run
                connection.execute(f"PRAGMA max_page_count = {_MOST_PAGES}")
                connection.execute(_TABLE)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
