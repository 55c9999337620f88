"""Which alerts fired within a period, found from the events per minute that the index keeps.

The alerts themselves are kept only while they last and for a day after.
"""

import sqlite3
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from airouter.domain.types import immutable
from airouter.slo.names import alert_name
from airouter.slo.objectives import BURN_RATES, Objective, Profile, Severity

_SEVERITIES: tuple[Severity, ...] = ("critical", "warning")
LONGEST = max(rate.long for rate in BURN_RATES)  # seconds before the period that have to be known

Numbers = NDArray[np.int64]
Shares = NDArray[np.float64]


@immutable
class Minutes:
    """The events of one objective in consecutive minutes.

    `first`: the first minute since 1970; `good`, `bad`: sums of the events before each minute,
    and at last of all.
    """

    first: int
    good: Numbers
    bad: Numbers

    def within(self, start: int, end: int) -> tuple[int, int]:
        """(good, bad) events of the minutes from `start` until before `end`."""
        a, b = (min(max(m - self.first, 0), len(self.good) - 1) for m in (start, end))
        return int(self.good[b] - self.good[a]), int(self.bad[b] - self.bad[a])

    def error_ratio(self, seconds: int) -> Shares:
        """For each minute the share of bad events in the window that ends with it; NaN without
        events."""
        last = np.arange(1, len(self.good))
        before = np.maximum(last - seconds // 60, 0)
        bad = self.bad[last] - self.bad[before]
        total = bad + self.good[last] - self.good[before]
        with np.errstate(invalid="ignore"):
            ratio: Shares = bad / total
        return ratio


def read_minutes(connection: sqlite3.Connection, slo: str, first: int, end: int) -> Minutes:
    """The events of an objective in the minutes from `first` until before `end`.

    Raises:
        sqlite3.Error: the index cannot be read.
    """
    good, bad = (np.zeros(end - first + 1, dtype=np.int64) for _ in range(2))
    rows = connection.execute(
        "SELECT minute, good, bad FROM slo_events WHERE slo = ? AND minute >= ? AND minute < ?",
        (slo, first, end),
    ).fetchall()
    if rows:
        table = np.array(rows, dtype=np.int64)
        good[table[:, 0] - first + 1] = table[:, 1]
        bad[table[:, 0] - first + 1] = table[:, 2]
    return Minutes(first, np.cumsum(good), np.cumsum(bad))


@immutable
class Fired:
    """An alert that fired: how often, for how many seconds in all, when it began the last time
    (seconds since 1970), and whether it still fires."""

    name: str
    slo: str
    severity: Severity
    times: int
    seconds: float
    last: float
    still: bool


def fired(profile: Profile, objective: Objective, minutes: Minutes, start: int) -> Iterator[Fired]:
    """The alerts on one objective that fired in the minute `start` or later, as an evaluation at
    the end of each minute would have found them."""
    wanted: list[tuple[str, Severity, NDArray[np.bool_], int]] = []
    if objective.target is not None and not objective.informational:
        for severity in _SEVERITIES:
            wanted.append(
                (alert_name(objective), severity, _burns(objective, minutes, severity), 0)
            )
    for alert in profile.alerts:
        if alert.slo == objective.name:
            active = minutes.error_ratio(alert.window) > alert.above
            wanted.append((alert.name, alert.severity, active, alert.lasting // 60))
    for name, severity, active, lasting in wanted:
        spans = _spans(active, lasting, start - minutes.first)
        if spans:
            begun, ended = spans[-1]
            yield Fired(
                name,
                objective.name,
                severity,
                len(spans),
                60.0 * sum(end - begin for begin, end in spans),
                60.0 * (minutes.first + begun + 1),
                ended == len(active),
            )


def _burns(objective: Objective, minutes: Minutes, severity: Severity) -> NDArray[np.bool_]:
    active = np.zeros(len(minutes.good) - 1, dtype=np.bool_)
    for rate in BURN_RATES:
        if rate.severity == severity:
            long, short = minutes.error_ratio(rate.long), minutes.error_ratio(rate.short)
            active |= np.minimum(long, short) > rate.factor * objective.budget
    return active


def _spans(active: NDArray[np.bool_], lasting: int, start: int) -> list[tuple[int, int]]:
    """(first, end) of the runs of active minutes that are longer than `lasting`, without the
    minutes in which the alert was pending; what was before `start` is cut off."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    runs = ((int(a) + lasting, int(b)) for a, b in edges.reshape(-1, 2))
    return [(max(a, start), b) for a, b in runs if a < b and b > start]
