"""A SQLite database that the workers of a run share; it ends with the run."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


class RunDatabase:
    """Mutable state: the connection, opened when it is first needed. Hold `lock` while using it.

    Args:
        schema: statements that create what is missing.
        pages: of 4 KB, at most; a write beyond them raises sqlite3.OperationalError.
        busy: seconds that a worker waits for another one's write.
    """

    def __init__(self, path: Path, schema: Sequence[str], pages: int, busy: float) -> None:
        self.lock = threading.Lock()
        self._path, self._schema, self._pages, self._busy = path, schema, pages, busy
        self._connection: sqlite3.Connection | None = None

    def connected(self) -> sqlite3.Connection:
        """The connection.

        Raises:
            sqlite3.Error, OSError: the database cannot be used.
        """
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=self._busy
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = OFF")  # it ends with the run
                connection.execute(f"PRAGMA max_page_count = {self._pages}")
                for statement in self._schema:
                    connection.execute(statement)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def close(self) -> None:
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with closing(connection):
                    pass
