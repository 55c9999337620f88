"""Answers a repeated request (`Idempotency-Key`) as the first time, in whichever worker.

The answers are in a small database in the run's temporary directory. They contain no text that a
client sent, and keys are hashes.
"""

import hashlib
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

from airouter.domain.clock import Clock
from airouter.domain.types import immutable

KEPT = 600.0  # seconds
_MOST_PAGES = 16_384  # of 4 KB: 64 MB
_BUSY_MS = 50  # that a worker waits for another one's write
_FORGOTTEN_AT_ONCE = 1_000  # answers, the oldest, where there is no more room
_TABLE = """
    CREATE TABLE IF NOT EXISTS answers (
        key BLOB PRIMARY KEY, expires REAL NOT NULL, body BLOB
    ) WITHOUT ROWID
"""
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
    """Mutable state: the connection, opened when it is first needed, under a lock. Where the
    database cannot be used, nothing is a replay."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def claim(self, key: bytes, seconds: float) -> Claim:
        """Find the answer, or claim to make it.

        Args:
            seconds: after which another may claim it: the worker may have died.
        """
        now = self._clock.time()
        with self._lock, suppress(sqlite3.Error, OSError):
            connection = self._connected()
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
        with self._lock, suppress(sqlite3.Error, OSError):
            connection = self._connected()
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
        with self._lock, suppress(sqlite3.Error, OSError):
            self._connected().execute("DELETE FROM answers WHERE key = ? AND body IS NULL", (key,))

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with closing(connection):
                    pass

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = OFF")  # it ends with the run
                connection.execute(f"PRAGMA max_page_count = {_MOST_PAGES}")
                connection.execute(_TABLE)
                connection.execute("CREATE INDEX IF NOT EXISTS expiry ON answers (expires)")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
