"""Good and bad events per minute, of the last 30 days and all workers, read from the index."""

import sqlite3
from bisect import bisect_right

_MINUTES = 30 * 24 * 60
_FINE = 3 * 24 * 60  # minutes that are kept one by one; older ones are added up by the hour
_LATE = 3  # minutes in which a writer's batch may still come


class Counts:
    """Mutable state: per objective, the minutes in which it had events, and the sums up to each.
    Used by one thread."""

    def __init__(self) -> None:
        self._series: dict[str, tuple[list[int], list[int], list[int]]] = {}
        self._read_to = 0

    def read(self, connection: sqlite3.Connection, now: float) -> None:
        """Take what has been counted since the last time.

        Args:
            now: seconds since 1970.

        Raises:
            sqlite3.Error: the index cannot be read; the next call begins anew.
        """
        minute = int(now // 60)
        if self._read_to < minute - _FINE:
            self._series.clear()
            rows = connection.execute(
                "SELECT slo, CASE WHEN minute < ? THEN minute / 60 * 60 ELSE minute END AS at, "
                "sum(good), sum(bad) FROM slo_events WHERE minute > ? GROUP BY slo, at "
                "ORDER BY at",
                (minute - _FINE, minute - _MINUTES),
            )
        else:
            self._forget_from(self._read_to - _LATE)
            rows = connection.execute(
                "SELECT slo, minute, good, bad FROM slo_events WHERE minute >= ? ORDER BY minute",
                (self._read_to - _LATE,),
            )
        for slo, at, good, bad in rows:
            self.add(slo, at, good, bad)
        self._read_to = minute

    def add(self, slo: str, minute: int, good: int, bad: int) -> None:
        """Add a minute's events; minutes come in order."""
        minutes, goods, bads = self._series.setdefault(slo, ([], [], []))
        minutes.append(minute)
        goods.append(good + (goods[-1] if goods else 0))
        bads.append(bad + (bads[-1] if bads else 0))

    def _forget_from(self, minute: int) -> None:
        for minutes, goods, bads in self._series.values():
            at = bisect_right(minutes, minute - 1)
            del minutes[at:], goods[at:], bads[at:]

    def within(self, slo: str, seconds: float, now: float) -> tuple[int, int]:
        """(good, bad) events of the last `seconds`, to the minute."""
        minutes, goods, bads = self._series.get(slo, ([], [], []))
        end = bisect_right(minutes, int(now // 60))
        start = bisect_right(minutes, int((now - seconds) // 60))
        if end == 0:
            return 0, 0
        before = (goods[start - 1], bads[start - 1]) if start else (0, 0)
        return goods[end - 1] - before[0], bads[end - 1] - before[1]

    def error_ratio(self, slo: str, seconds: float, now: float) -> float | None:
        """The share of bad events; None if there were none at all."""
        good, bad = self.within(slo, seconds, now)
        return bad / (good + bad) if good + bad else None
