"""The writer of the index: a background thread, so that no request waits for a disk."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from airouter.domain.clock import Clock
from airouter.domain.types import ExchangeRecord, immutable
from airouter.index.reading import BUSY_MS, NAME
from airouter.index.rows import INSERT, row_of
from airouter.index.schema import NewerIndex, migrate
from airouter.telemetry.background import Background
from airouter.telemetry.logs import Log

_WAITING = 50_000  # queued records
_BATCH = 1_000  # rows per transaction
_LINGER = 0.25  # seconds to wait for more rows
_TICK = 5.0  # seconds between looks at what is due, if no rows arrive
_PRUNE_EVERY = 60.0  # seconds
_PRUNE_AT_ONCE = 2_000  # rows
_SAY_EVERY = 60.0  # seconds between two log lines about the same fault
_MINUTE = 60.0

# What a finished request or a probe means for the objectives: (objective, whether it is good).
Judgement = Iterable[tuple[str, bool]]


@immutable
class BackendEvent:
    """A change of a backend, or a probe of it."""

    at: float  # seconds since 1970
    backend: str
    event: str
    value: str
    ms: float | None = None


@immutable
class Counted:
    """An event that counts for an objective and belongs to no request."""

    at: float  # seconds since 1970
    slo: str
    good: bool


@immutable
class Tally:
    """What one thing that is no recorded request means for several objectives."""

    at: float  # seconds since 1970
    events: tuple[tuple[str, bool], ...]


Item = ExchangeRecord | BackendEvent | Counted | Tally


class Index:
    """Sink. Whatever happens to the file, no request fails: what cannot be written is dropped,
    counted and said once a minute, and the next batch is tried anew.

    Mutable state: the connection; used by the writer's thread only.

    Args:
        max_age_days, max_count: of rows; older ones are deleted.
        judge: what a request means for the objectives; called in the writer's thread.
        on_event: called with ("written" | "dropped" | "failed", count).
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_age_days: float,
        max_count: int,
        clock: Clock,
        log: Log,
        judge: Callable[[ExchangeRecord], Judgement] = lambda _: (),
        on_event: Callable[[str, int], None] = lambda _event, _count: None,
        waiting: int = _WAITING,
        linger: float = _LINGER,
    ) -> None:
        self.path = Path(os.path.abspath(directory)) / NAME
        self._max_age, self._max_count = max_age_days * 86_400, max_count
        self._clock, self._log, self._judge, self._on_event = clock, log, judge, on_event
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._pruned_at = float("-inf")
        self._said_at = float("-inf")
        self._background = Background[Item](
            self._handle,
            name="index",
            limit=waiting,
            batch=_BATCH,
            linger=linger,
            flush_at=_BATCH,
            tick=_TICK,
            on_drop=lambda count: self._on_event("dropped", count),
        )

    def emit(self, record: ExchangeRecord) -> None:
        self._background.put(record)

    def note(self, item: BackendEvent | Counted | Tally) -> None:
        """Add what belongs to no request. Never blocks."""
        self._background.put(item)

    @property
    def pressed(self) -> bool:
        """The index delays no request: it is no record of content."""
        return False

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything emitted so far has been written or has failed."""
        return self._background.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, then stop. Returns False if that took too long."""
        done = self._background.close(timeout)
        if done:
            self._disconnect()
        return done

    # In the writer's thread -----------------------------------------------------------------------

    def _handle(self, items: list[Item]) -> None:
        if not items and self._connection is None:
            return
        try:
            connection = self._connected()
            if items:
                self._write(connection, items)
            self._prune(connection)
        except NewerIndex:
            self._lost(len(items), f"{self.path} was written by a later version; move it elsewhere")
        except Exception as error:
            self._disconnect()
            if _is_damaged(error):
                self._set_aside()
            self._lost(len(items), str(error) or type(error).__name__)

    def _write(self, connection: sqlite3.Connection, items: list[Item]) -> None:
        rows, events, counts = [], [], Counter[tuple[str, int, bool]]()
        for item in items:
            if isinstance(item, ExchangeRecord):
                minute = int((item.timestamp.timestamp() + item.total_ms / 1000) // _MINUTE)
                try:
                    rows.append(row_of(item))
                    for slo, good in self._judge(item):
                        counts[slo, minute, good] += 1
                except Exception as error:  # the others are not lost with it
                    self._lost(1, f"{type(error).__name__} about session {item.id[:8]}")
            elif isinstance(item, BackendEvent):
                events.append((item.at, item.backend, item.event, item.value, item.ms))
            elif isinstance(item, Tally):
                minute = int(item.at // _MINUTE)
                for slo, good in item.events:
                    counts[slo, minute, good] += 1
            else:
                counts[item.slo, int(item.at // _MINUTE), item.good] += 1
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows)
            connection.executemany("INSERT INTO backend_events VALUES (?, ?, ?, ?, ?)", events)
            connection.executemany(
                "INSERT INTO slo_events VALUES (?, ?, ?, ?) ON CONFLICT (slo, minute) "
                "DO UPDATE SET good = good + excluded.good, bad = bad + excluded.bad",
                [
                    (slo, minute, count if good else 0, 0 if good else count)
                    for (slo, minute, good), count in counts.items()
                ],
            )
        self._on_event("written", len(rows))

    def _prune(self, connection: sqlite3.Connection) -> None:
        now = self._clock.monotonic()
        if now - self._pruned_at < _PRUNE_EVERY:
            return
        oldest = self._clock.time() - self._max_age
        with connection:
            most = connection.execute("SELECT max(rowid) FROM requests").fetchone()[0] or 0
            deleted = connection.execute(
                "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM (SELECT rowid, at FROM "
                "requests ORDER BY rowid LIMIT ?) WHERE at < ? OR rowid <= ?)",
                (_PRUNE_AT_ONCE, oldest, most - self._max_count),
            ).rowcount
            connection.execute("DELETE FROM backend_events WHERE at < ?", (oldest,))
            connection.execute("DELETE FROM slo_events WHERE minute < ?", (oldest // _MINUTE,))
        if deleted < _PRUNE_AT_ONCE:
            self._pruned_at = now

    # The file -------------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        """The connection; a new one if the file has been deleted or replaced."""
        if self._connection is not None:
            with suppress(OSError):
                if os.stat(self.path).st_ino == self._inode:
                    return self._connection
            self._disconnect()
            self._log.warning("The index of requests was deleted; a new one has been begun")
        self._connection = open_for_writing(self.path)
        self._inode = os.stat(self.path).st_ino
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _set_aside(self) -> None:
        with suppress(OSError):
            os.replace(self.path, f"{self.path}.damaged")
            for suffix in ("-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _lost(self, lost: int, why: str) -> None:
        if lost:
            self._on_event("failed", lost)
        now = self._clock.monotonic()
        if now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            self._log.warning("The index of requests cannot be written: %s", why)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the index for writing, made and brought to this version where need be.

    Raises:
        NewerIndex, sqlite3.Error, OSError: it cannot be.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only a new one is opened here: closing any descriptor of a file drops the locks that SQLite
    # holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damaged(error: Exception) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError
    )
