"""Session files: one JSON file per finished exchange, written by a background thread.

Each system call releases the interpreter, and the thread may wait milliseconds to get it back while
requests are served. The number of system calls per file, four, therefore limits how many files are
written per second.
"""

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

from airouter.domain.clock import Clock, ms
from airouter.domain.redaction import masked
from airouter.domain.types import ExchangeRecord
from airouter.telemetry.background import Background
from airouter.telemetry.logs import Log
from airouter.telemetry.record_size import record_size
from airouter.telemetry.session_document import document
from airouter.telemetry.session_retention import STAMP as STAMP
from airouter.telemetry.session_retention import Retention

WAITING = 10_000  # queued records: about 5 s of requests at 2,000 per second
WAITING_BYTES = 256_000_000  # of them; records without long texts need about 40 MB
BATCH = 32
LINGER = 0.01  # seconds to wait for more records: at most 100 small batches per second
IDLE_S = 1.0  # seconds between looks at what is due, if no records arrive
WARN_EVERY = 60.0  # seconds
# What open() and link() answer where a file cannot be written before it has a name.
_UNSUPPORTED = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EXDEV,
}


class SessionLogger:
    """Sink: queues records; a writer thread writes the files and deletes old ones.

    Args:
        directory: created with mode 0700; files have mode 0600.
        content: "off" omits all text of the conversation; routes, durations and counts remain.
        max_age_days, max_count: retention limits; 0 for none. Files written by other worker
            processes are counted every 10 minutes only.
        on_event: called with ("written" | "dropped" | "failed", count).
        queue_size, queue_bytes: maximum number and approximate size of queued records; more are
            dropped and counted.
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
        queue_size: int = WAITING,
        queue_bytes: int = WAITING_BYTES,
    ) -> None:
        self._folder, self._content = os.path.abspath(directory), content
        self._log, self._clock, self._on_event = log, clock, on_event
        self._retention = Retention(self._folder, max_age_days, max_count, clock)
        self._warned: float | None = None
        self._unnamed = hasattr(os, "O_TMPFILE")
        self._background = Background[ExchangeRecord](
            self._handle,
            name="sessions",
            limit=queue_size,
            max_bytes=queue_bytes,
            batch=BATCH,
            linger=LINGER,
            flush_at=BATCH,
            tick=IDLE_S,
            on_drop=self._dropped,
        )

    def emit(self, record: ExchangeRecord) -> None:
        if record.save:
            self._background.put(record, record_size(record))

    @property
    def dropped(self) -> int:
        """Records dropped by this process: the queue was full, or the logger was closed."""
        return self._background.dropped

    @property
    def pressed(self) -> bool:
        """Whether the queue is nearly full. Cheap: takes no lock."""
        return self._background.pressed

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all records emitted so far have been written or have failed.

        Returns:
            False if that took longer than `timeout` seconds.
        """
        return self._background.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write queued records, then stop; later records are dropped.

        Returns:
            False if that took longer than `timeout` seconds: the rest is dropped, which app.log and
            stderr say.
        """
        before = self.dropped
        done = self._background.close(timeout)
        if not done:
            with suppress(Exception):  # stderr may be closed
                print(
                    f"WARNING: session records not saved: {self.dropped - before} (the router is "
                    f"stopping; writing took longer than {timeout:g} s)",
                    file=sys.stderr,
                )
        self._report(every=0)
        return done

    def _handle(self, records: list[ExchangeRecord]) -> None:
        idle, saved = not records, []
        records.reverse()
        while records:  # close() empties the list if it takes too long
            record, started = records[-1], self._clock.monotonic()
            id8 = re.sub(r"[^A-Za-z0-9_-]", "_", record.id[:8]) or "none"
            try:
                # As strftime(STAMP), in half the time.
                stamp = record.timestamp.isoformat("_", "seconds")[:19].replace(":", "-")
                name = self._write(f"{stamp}_{id8}", masked(document(record, self._content)))
            except Exception as error:  # e.g. a full disk; the next write may succeed
                self._failed(f"session {id8} not saved", error)
                self._event("failed", 1)
            else:
                saved.append((id8, self._clock.monotonic() - started))
                self._retention.add(name)
            del records[-1:]
        if saved:
            self._event("written", len(saved))
        began = self._clock.monotonic()
        self._clean(idle)
        cleanup = ms(self._clock.monotonic() - began)
        for id8, seconds in saved:
            self._log.info("Session saved: %s write_ms=%d cleanup_ms=%d", id8, ms(seconds), cleanup)
        self._report()

    def _clean(self, idle: bool) -> None:
        """A step of retention; all steps if idle, until a record arrives."""
        try:
            while self._retention.step(scan=not self.pressed) and idle:
                if self._background.waiting:
                    break
        except OSError as error:
            self._failed("old sessions not deleted", error)

    def _write(self, stem: str, data: bytes) -> str:
        """Write a file atomically under a new name, which is returned."""
        if self._unnamed:
            try:
                return self._write_unnamed(stem, data)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                self._unnamed = False
        return self._write_named(stem, data)

    def _write_unnamed(self, stem: str, data: bytes) -> str:
        """Write a file without a name, then give it one: a third of the cost of a temporary name,
        which would change the directory three times. Linux only."""
        fd = self._open(self._folder, os.O_TMPFILE)
        try:
            _write_all(fd, data)
            return self._publish(f"/proc/self/fd/{fd}", stem, fd)
        finally:
            os.close(fd)

    def _write_named(self, stem: str, data: bytes) -> str:
        temporary = f"{self._folder}/.{stem}.json.{os.getpid()}.tmp"
        fd = self._open(temporary, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
        try:
            try:
                _write_all(fd, data)
            finally:
                os.close(fd)
            return self._publish(temporary, stem)
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _open(self, path: str, flags: int) -> int:
        flags |= os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:  # first session, or the directory was removed
            Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(path, flags, 0o600)

    def _publish(self, source: str, stem: str, fd: int | None = None) -> str:
        """Give a file, or the descriptor of a file without a name, the first name that is free."""
        for number in count(1):
            name = f"{stem}.json" if number == 1 else f"{stem}-{number}.json"
            final = f"{self._folder}/{name}"
            try:
                # Unlike a rename, a link never replaces the file of another worker. Only with a
                # `dst_dir_fd`, otherwise unused, does Python follow the link in /proc.
                os.link(source, final, dst_dir_fd=fd, follow_symlinks=True)
            except FileExistsError:
                continue
            except OSError:
                if fd is not None:
                    raise
                # The file system does not support hard links.
                if os.path.exists(final):
                    continue
                os.replace(source, final)
            return name
        raise AssertionError

    def _event(self, event: str, count: int) -> None:
        if self._on_event is not None:
            with suppress(Exception):
                self._on_event(event, count)

    def _dropped(self, count: int) -> None:
        self._event("dropped", count)
        self._report()

    def _report(self, every: float = WARN_EVERY) -> None:
        lost = self._background.unreported(self._clock.monotonic(), every)
        if lost:
            why = "the router is stopping" if self._background.closed else "the queue is full"
            self._log.warning("Session records not saved: %d (%s)", lost, why)

    def _failed(self, what: str, error: Exception) -> None:
        now = self._clock.monotonic()
        if self._warned is None or now - self._warned >= WARN_EVERY:
            self._warned = now
            self._log.warning(
                "%s: %s", what, getattr(error, "strerror", None) or type(error).__name__
            )


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
