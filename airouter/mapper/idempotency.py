"""Answers a repeated request (`Idempotency-Key`) as the first time, in whichever worker.

The answers are in a small database in the run's temporary directory. They contain no text that a
client sent, and keys are hashes.
"""

import hashlib
import sqlite3
from contextlib import suppress
from pathlib import Path

from airouter.domain.clock import Clock
from airouter.domain.types import immutable
from airouter.resilience.run_database import RunDatabase

KEPT = 600.0  # seconds
_MOST_PAGES = 16_384  # of 4 KB: 64 MB
_BUSY = 0.05  # seconds that a worker waits for another one's write
_FORGOTTEN_AT_ONCE = 1_000  # answers, the oldest, where there is no more room
_TABLE = """
    CREATE TABLE IF NOT EXISTS answers (
        key BLOB PRIMARY KEY, expires REAL NOT NULL, body BLOB
    ) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX IF NOT EXISTS expiry ON answers (expires)"
_OLDEST = "SELECT key FROM answers ORDER BY expires LIMIT ?"


@immutable
class Claim:
    """`body`: the stored answer, if there is one. `mine`: whether the caller must make the answer,
    because there is none and no other request is making it."""

    body: bytes | None
    mine: bool


def key_of(path: str, holder: str, key: str, body: bytes) -> bytes:
    """What a replay has to have in common with the first request. The tenant is in the body.

    Args:
        holder: what the client authenticates with.
    """
    digest = hashlib.sha256()
    for part in (path.encode(), holder.encode("utf-8", "replace"), key.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


class Replays:
    """Where the database cannot be used, nothing is a replay."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._database = RunDatabase(path, (_TABLE, _INDEX), _MOST_PAGES, _BUSY)

    def claim(self, key: bytes, seconds: float) -> Claim:
        """Find the answer, or claim to make it.

        Args:
            seconds: after which another may claim it: the worker may have died.
        """
        now = self._clock.time()
        with self._database.lock, suppress(sqlite3.Error, OSError):
            connection = self._database.connected()
            connection.execute("DELETE FROM answers WHERE expires < ?", (now,))
            claimed = connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, NULL)", (key, now + seconds)
            )
            if claimed.rowcount:
                return Claim(None, True)
            found = connection.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
            return Claim(found[0] if found else None, False)
        return Claim(None, True)

    def keep(self, key: bytes, body: bytes) -> None:
        """Keep the answer for 600 s."""
        expires = self._clock.time() + KEPT
        with self._database.lock, suppress(sqlite3.Error, OSError):
            connection = self._database.connected()
            try:
                connection.execute(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, expires, body)
                )
            except sqlite3.OperationalError:  # full
                connection.execute(
                    f"DELETE FROM answers WHERE key IN ({_OLDEST})", (_FORGOTTEN_AT_ONCE,)
                )

    def give_up(self, key: bytes) -> None:
        """There will be no answer: the next request makes one."""
        with self._database.lock, suppress(sqlite3.Error, OSError):
            self._database.connected().execute(
                "DELETE FROM answers WHERE key = ? AND body IS NULL", (key,)
            )

    def close(self) -> None:
        self._database.close()
