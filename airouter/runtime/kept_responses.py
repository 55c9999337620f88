"""Keeps responses for `previous_response_id` and `GET /v1/responses/{id}`, for all workers.

They are in a database in the run's temporary directory, with the text of the requests. A response
is returned only for the API key with which it was made.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from airouter.domain.types import immutable
from airouter.resilience.run_database import RunDatabase

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
    """Where the database cannot be used, nothing is found."""

    def __init__(self, path: Path) -> None:
        self._database = RunDatabase(path, (_TABLE,), _MOST_PAGES, _BUSY)

    def keep(self, holder: str, items: list[Any], response: dict[str, Any], most: int) -> None:
        """Keep a response.

        Args:
            holder: the id of the client's key; "" without one.
            most: responses that are kept at most, of all holders.
        """
        row = response["id"], holder, orjson.dumps(items), orjson.dumps(response)
        insert = "INSERT INTO responses (id, holder, items, response) VALUES (?, ?, ?, ?)"
        with self._database.lock, suppress(sqlite3.Error, OSError):
            connection = self._database.connected()
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
        """The response of this id; None: there is none, or it was made with another key."""
        with self._database.lock, suppress(sqlite3.Error, OSError):
            found = (
                self._database.connected()
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
        with self._database.lock, suppress(sqlite3.Error, OSError):
            removed = self._database.connected().execute(
                "DELETE FROM responses WHERE id = ? AND holder = ?", (id, holder)
            )
            return removed.rowcount > 0
        return False

    def close(self) -> None:
        self._database.close()
