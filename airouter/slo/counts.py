"""Good and bad events per minute, of the last 30 days and all workers, read from the index."""

import sqlite3
from array import array
from bisect import bisect_left, bisect_right

_MINUTES = 30 * 24 * 60
_FINE = 3 * 24 * 60  # minutes that are kept one by one; older ones are added up by the hour
_LATE = 3  # minutes in which a writer's batch may still come
# The objectives that have events. Each is found with one step in the primary key, whereas DISTINCT
# would read the whole table; so would a condition on the minute alone.
NAMES = """
    WITH RECURSIVE names (slo) AS (
        SELECT min(slo) FROM slo_events
        UNION ALL
        SELECT (SELECT min(slo) FROM slo_events WHERE slo > names.slo) FROM names
        WHERE names.slo IS NOT NULL
    )
    SELECT slo FROM names WHERE slo IS NOT NULL
"""
_HOURS = """
    SELECT minute / 60 * 60 AS at, sum(good), sum(bad) FROM slo_events
    WHERE slo = ? AND minute >= ? AND minute < ? GROUP BY at ORDER BY at
"""
_EACH = "SELECT minute, good, bad FROM slo_events WHERE slo = ? AND minute >= ? ORDER BY minute"

_NONE = array("q"), array("q"), array("q")


class Counts:
    """Mutable state: per objective, the minutes in which it had events, and the sums up to each.
    Used by one thread."""

    def __init__(self) -> None:
        self._series: dict[str, tuple[array[int], array[int], array[int]]] = {}
        self._read_to = 0
        self._fine_from = 0  # the minute, the first of an hour, from which on each is kept

    def read(self, connection: sqlite3.Connection, now: float) -> None:
        """Take what has been counted since the last time.

        No transaction is open for longer than it takes to read one objective.

        Args:
            now: seconds since 1970.

        Raises:
            sqlite3.Error: the index cannot be read; the next call begins anew.
        """
        minute = int(now // 60)
        fine = (minute - _FINE) // 60 * 60
        names = [slo for (slo,) in connection.execute(NAMES).fetchall()]
        if self._read_to < minute - _FINE:
            self._series.clear()
            for slo in names:
                hours = connection.execute(_HOURS, (slo, minute - _MINUTES + 1, fine)).fetchall()
                for row in (*hours, *connection.execute(_EACH, (slo, fine)).fetchall()):
                    self.add(slo, *row)
            self._fine_from = fine
        else:
            since = self._read_to - _LATE
            self._forget_from(since)
            for slo in names:
                for row in connection.execute(_EACH, (slo, since)).fetchall():
                    self.add(slo, *row)
            if fine > self._fine_from:
                self._coarsen(fine, minute - _MINUTES)
        self._read_to = minute

    def add(self, slo: str, minute: int, good: int, bad: int) -> None:
        """Add a minute's events; minutes come in order."""
        minutes, goods, bads = self._series.setdefault(slo, (array("q"), array("q"), array("q")))
        minutes.append(minute)
        goods.append(good + (goods[-1] if goods else 0))
        bads.append(bad + (bads[-1] if bads else 0))

    def _forget_from(self, minute: int) -> None:
        for minutes, goods, bads in self._series.values():
            at = bisect_left(minutes, minute)
            del minutes[at:], goods[at:], bads[at:]

    def _coarsen(self, fine: int, oldest: int) -> None:
        """Keep the last minute only of each hour before `fine`, as if read anew; and of what is
        not after `oldest` the last one, from which the sums are subtracted."""
        for series in self._series.values():
            minutes = series[0]
            start, end = bisect_left(minutes, self._fine_from), bisect_left(minutes, fine)
            hours = [minute // 60 for minute in minutes[start:end]]
            last = [start + i for i, hour in enumerate(hours) if hours[i + 1 : i + 2] != [hour]]
            for column in series:
                column[start:end] = array("q", [column[i] for i in last])
            for i in range(start, start + len(last)):
                minutes[i] = minutes[i] // 60 * 60
            old = max(0, bisect_right(minutes, oldest) - 1)
            for column in series:
                del column[:old]
        self._fine_from = fine

    def within(self, slo: str, seconds: float, now: float) -> tuple[int, int]:
        """(good, bad) events of the last `seconds`, to the minute."""
        minutes, goods, bads = self._series.get(slo, _NONE)
        end = bisect_right(minutes, int(now // 60))
        start = bisect_right(minutes, int((now - seconds) // 60))
        if end == 0:
            return 0, 0
        before = (goods[start - 1], bads[start - 1]) if start else (0, 0)
        return goods[end - 1] - before[0], bads[end - 1] - before[1]

    def first(self, slo: str) -> float | None:
        """When the first event that is known came, in seconds since 1970."""
        minutes = self._series.get(slo, _NONE)[0]
        return minutes[0] * 60.0 if minutes else None

    def error_ratio(self, slo: str, seconds: float, now: float) -> float | None:
        """The share of bad events; None if there were none at all."""
        good, bad = self.within(slo, seconds, now)
        return bad / (good + bad) if good + bad else None
