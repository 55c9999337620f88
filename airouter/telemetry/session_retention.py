"""Deletes old session files, in small steps between batches of new ones.

Reading a large directory, or deleting many files, takes a system call per file. After each, the
thread may wait milliseconds for the interpreter, so doing all at once would take minutes on a busy
router.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from heapq import heappop, heappush
from itertools import islice

from airouter.domain.clock import Clock

STAMP = "%Y-%m-%d_%H-%M-%S"
CLEAN_EVERY_SAVES, CLEAN_EVERY_S, RESCAN_S = 100, 60.0, 600.0
# Files per step. More are deleted than a batch writes, so that deleting keeps up with writing.
DELETE_AT_ONCE, SCAN_AT_ONCE = 50, 50
_OURS = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[A-Za-z0-9_-]+\.json")
_LEFT_OVER = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[A-Za-z0-9_-]+\.json\.\d+\.tmp")


class Retention:
    """Names start with the date, so the smallest name is the oldest file.

    The directory is read every 10 minutes, for files of other workers and of earlier processes; in
    between, only the files added here are known.

    Args:
        max_age_days, max_count: limits; 0 for none.
    """

    def __init__(self, directory: str, max_age_days: float, max_count: int, clock: Clock) -> None:
        self._directory, self._clock = directory, clock
        self._max_age_days, self._max_count = max_age_days, max_count
        self._names: list[str] = []  # a heap
        self._oldest = ""  # files with a smaller name are too old
        self._added, self._due = 0, False
        self._cleaned = clock.monotonic()
        self._scanned: float | None = None
        # The directory being read, and the names found so far: a set, and a heap that will replace
        # `_names`.
        self._scan: Iterator[os.DirEntry[str]] | None = None
        self._seen: set[str] = set()
        self._found: list[str] = []

    def add(self, name: str) -> None:
        """A file was written."""
        heappush(self._names, name)
        if self._scan is not None:
            self._find(name)
        self._added += 1

    def step(self, scan: bool = True) -> bool:
        """Delete some of the files beyond the limits, if due: after 100 new files or a minute.

        Args:
            scan: also read some of the directory, if that is due.

        Returns:
            Whether there is more to do.

        Raises:
            OSError: the directory cannot be read; tried again in 10 minutes.
        """
        now = self._clock.monotonic()
        if self._added >= CLEAN_EVERY_SAVES or now - self._cleaned >= CLEAN_EVERY_S:
            self._cleaned, self._added, self._due = now, 0, True
            self._oldest = self._days_ago(self._max_age_days) if self._max_age_days else ""
            if self._scan is None and (self._scanned is None or now - self._scanned >= RESCAN_S):
                self._scanned = now
                self._scan = os.scandir(self._directory)
                self._found, self._seen = [], set()
        if not self._due:
            return False
        if scan and self._scan is not None:
            self._read(self._scan)
        deleted = 0
        while deleted < DELETE_AT_ONCE and self._surplus():
            self._delete(heappop(self._names))
            deleted += 1
        self._due = self._scan is not None or deleted == DELETE_AT_ONCE
        return self._due

    def _surplus(self) -> bool:
        names = self._names
        too_many = self._max_count and len(names) > self._max_count
        return bool(too_many or (names and names[0] < self._oldest))

    def _delete(self, name: str) -> None:
        with suppress(OSError):  # deleted by another worker
            os.unlink(f"{self._directory}/{name}")

    def _read(self, scan: Iterator[os.DirEntry[str]]) -> None:
        """Read some of the directory; at its end, use what was found."""
        yesterday = self._days_ago(1)
        self._scan = None  # if it fails
        names = [entry.name for entry in islice(scan, SCAN_AT_ONCE)]
        for name in names:
            if _OURS.fullmatch(name):
                self._find(name)
            elif name[0] == "." and name[1:] < yesterday and _LEFT_OVER.fullmatch(name):
                self._delete(name)  # a temporary file of a process that was killed
        if len(names) == SCAN_AT_ONCE:
            self._scan = scan
        else:
            self._names, self._found, self._seen = self._found, [], set()

    def _find(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            heappush(self._found, name)

    def _days_ago(self, days: float) -> str:
        return (self._clock.now() - timedelta(days=days)).strftime(STAMP)
