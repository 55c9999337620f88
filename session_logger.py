"""Session files: one JSON file per finished exchange, written by a background thread."""

import os
import re
from bisect import bisect_left, insort
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Literal

from airouter.domain.clock import Clock, ms
from airouter.domain.redaction import masked
from airouter.domain.types import ExchangeRecord
from airouter.telemetry.background import Background
from airouter.telemetry.logs import Log
from airouter.telemetry.session_document import document

STAMP = "%Y-%m-%d_%H-%M-%S"
CLEAN_EVERY_SAVES, CLEAN_EVERY_S, RESCAN_S, DELETE_AT_ONCE = 100, 60.0, 600.0, 2_000
WARN_EVERY = 60.0  # seconds
# Pause between files, in seconds: bursts would block the interpreter for milliseconds. No pauses if
# more than FLUSH_AT records are waiting.
REST, FLUSH_AT = 0.002, 200
_OURS = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[A-Za-z0-9_-]+\.json")
_LEFT_OVER = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[A-Za-z0-9_-]+\.json\.\d+\.tmp")


class SessionLogger:
    """Sink: queues records; a writer thread writes the files and deletes old ones.

    Args:
        directory: created with mode 0700; files have mode 0600.
        content: "off" omits all text of the conversation; routes, durations and counts remain.
        max_age_days, max_count: retention limits; 0 for none. Files written by other worker
            processes are counted every 10 minutes only.
        on_event: called with ("written" | "dropped" | "failed", count).
        queue_size: maximum number of queued records; more are dropped and counted.
    """

    def __init__(
        self,
        directory: Path,
        *,
        content: Literal["full", "off"] = "full",
        max_age_days: float = 7,
        max_count: int = 5000,
        log: Log,
        clock: Clock,
        on_event: Callable[[str, int], None] | None = None,
        queue_size: int = 2000,
    ) -> None:
        self._directory, self._content = Path(directory), content
        self._log, self._clock, self._on_event = log, clock, on_event
        self._retention = _Retention(self._directory, max_age_days, max_count, clock)
        self._warned: float | None = None
        self._background = Background[ExchangeRecord](
            self._handle,
            name="sessions",
            limit=queue_size,
            linger=REST,
            flush_at=FLUSH_AT,
            tick=CLEAN_EVERY_S,
        )

    def emit(self, record: ExchangeRecord) -> None:
        if record.save and not self._background.put(record):
            self._event("dropped")

    @property
    def dropped(self) -> int:
        """Records dropped by this process: the queue was full, or the logger was closed."""
        return self._background.dropped

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all records emitted so far have been written or have failed.

        Returns:
            False if that took longer than `timeout` seconds.
        """
        return self._background.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write queued records, then stop; later records are dropped.

        Returns:
            False if that took longer than `timeout` seconds.
        """
        return self._background.close(timeout)

    def _handle(self, records: list[ExchangeRecord]) -> None:
        for record in records:
            started = self._clock.monotonic()
            id8 = re.sub(r"[^A-Za-z0-9_-]", "_", record.id[:8]) or "none"
            try:
                name = self._write(
                    f"{record.timestamp.strftime(STAMP)}_{id8}",
                    masked(document(record, self._content)),
                )
            except Exception as error:  # e.g. a full disk; the next write may succeed
                self._failed(f"session {id8} not saved", error)
                self._event("failed")
                continue
            written = self._clock.monotonic()
            self._event("written")
            self._retention.add(name)
            self._clean()
            cleaned = self._clock.monotonic()
            self._log.info(
                "Session saved: %s write_ms=%d cleanup_ms=%d",
                id8,
                ms(written - started),
                ms(cleaned - written),
            )
        if not records:
            self._clean()

    def _clean(self) -> None:
        try:
            self._retention.clean()
        except OSError as error:
            self._failed("old sessions not deleted", error)

    def _write(self, stem: str, data: bytes) -> str:
        """Write a file atomically under a new name, which is returned."""
        temporary = f"{self._directory}/.{stem}.json.{os.getpid()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, 0o600)
        except FileNotFoundError:  # first session, or the directory was removed
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(temporary, flags, 0o600)
        try:
            try:
                written = os.write(fd, data)
                while written < len(data):
                    written += os.write(fd, data[written:])
            finally:
                os.close(fd)
            return self._publish(temporary, stem)
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _publish(self, temporary: str, stem: str) -> str:
        for number in count(1):
            name = f"{stem}.json" if number == 1 else f"{stem}-{number}.json"
            final = f"{self._directory}/{name}"
            try:
                # Unlike a rename, a link never replaces the file of another worker.
                os.link(temporary, final)
            except FileExistsError:
                continue
            except OSError:  # the file system does not support hard links
                if os.path.exists(final):
                    continue
                os.replace(temporary, final)
            return name
        raise AssertionError

    def _event(self, event: str) -> None:
        if self._on_event is not None:
            with suppress(Exception):
                self._on_event(event, 1)

    def _failed(self, what: str, error: Exception) -> None:
        now = self._clock.monotonic()
        if self._warned is None or now - self._warned >= WARN_EVERY:
            self._warned = now
            self._log.warning(
                "%s: %s", what, getattr(error, "strerror", None) or type(error).__name__
            )


class _Retention:
    """Deletes old session files. File names start with the date, so sorting the names suffices."""

    def __init__(self, directory: Path, max_age_days: float, max_count: int, clock: Clock) -> None:
        self._directory, self._max_age_days, self._max_count, self._clock = (
            directory,
            max_age_days,
            max_count,
            clock,
        )
        self._names: list[str] = []  # sorted, oldest first
        self._added, self._more = 0, False
        self._cleaned = clock.monotonic()
        self._scanned: float | None = None

    def add(self, name: str) -> None:
        insort(self._names, name)
        self._added += 1

    def clean(self) -> None:
        """Delete files beyond the limits, if due; at most 2,000 per call, the rest in later
        calls."""
        now = self._clock.monotonic()
        if not (
            self._more or self._added >= CLEAN_EVERY_SAVES or now - self._cleaned >= CLEAN_EVERY_S
        ):
            return
        self._cleaned, self._added = now, 0
        if self._scanned is None or now - self._scanned >= RESCAN_S:
            self._scanned = now
            self._scan()
        old = (
            bisect_left(self._names, self._days_ago(self._max_age_days))
            if self._max_age_days
            else 0
        )
        surplus = len(self._names) - self._max_count if self._max_count else 0
        doomed = min(max(old, surplus, 0), DELETE_AT_ONCE)
        for name in self._names[:doomed]:
            with suppress(OSError):  # deleted by another worker
                os.unlink(self._directory / name)
        del self._names[:doomed]
        self._more = doomed == DELETE_AT_ONCE

    def _days_ago(self, days: float) -> str:
        return (self._clock.now() - timedelta(days=days)).strftime(STAMP)

    def _scan(self) -> None:
        with os.scandir(self._directory) as entries:
            names = [entry.name for entry in entries]
        self._names = sorted(name for name in names if _OURS.fullmatch(name))
        yesterday = self._days_ago(1)
        for name in names:
            # Temporary files of processes that were killed.
            if name[0] == "." and name[1:] < yesterday and _LEFT_OVER.fullmatch(name):
                with suppress(OSError):
                    os.unlink(self._directory / name)
