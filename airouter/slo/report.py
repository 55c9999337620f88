"""How objectives were kept in the last days, and what the requests were, read from the index."""

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path

import numpy as np

from airouter.domain.types import immutable
from airouter.index.reading import read_only
from airouter.index.schema import MIGRATIONS
from airouter.slo.judge import is_meant
from airouter.slo.objectives import Objective, Profile
from airouter.slo.replay import LONGEST, Fired, Minutes, fired, read_minutes

_DAY = 86_400
_HOUR = 3_600  # seconds; the window of the burn rate now
_AT_ONCE = 20_000  # rows per transaction: a long one would let the index's log grow
_PERCENTILES = (50, 95, 99)
_ANSWERED = ("ok", "truncated")  # the outcomes whose times count, as for the objectives
TIMES = ("total_ms", "ttft_ms", "own_ms")
_ROWS = f"""
    SELECT route, backend, outcome, reason, attempts, tokens_in, tokens_out, test,
    {", ".join(TIMES)} FROM requests WHERE rowid >= ? AND rowid < ? AND at >= ? AND at < ?
"""
# What is read, and which part of it has been, 0 to 1.
Progress = Callable[[str, float], None]


class NoReport(Exception):
    """The index has nothing to report, or cannot be read; its text is a sentence that says why."""


@immutable
class ObjectiveLine:
    """`worst`: the day, in local time, with the smallest share of good events, and that share;
    `burn`: the burn rate of the last hour; both None without events."""

    objective: Objective
    good: int
    bad: int
    worst: tuple[date, float] | None
    burn: float | None

    @property
    def share(self) -> float | None:
        """Of good events."""
        events = self.good + self.bad
        return self.good / events if events else None

    @property
    def budget_left(self) -> float | None:
        """The part of the error budget that is left, 1 to below 0."""
        return None if self.share is None else 1.0 - (1.0 - self.share) / self.objective.budget

    @property
    def verdict(self) -> str:
        """kept, breached, no events or informational."""
        if self.share is None:
            return "no events"
        if self.objective.informational:
            return "informational"
        # Whole events: 5 of 100 are a budget of 5 %, whatever the floats say.
        allowed = self.objective.budget * (self.good + self.bad)
        return "kept" if self.bad <= allowed + 1e-6 else "breached"


@immutable
class RouteLine:
    """`reasons`: requests by outcome; `ms`: p50, p95 and p99 of each of `TIMES`."""

    route: str
    requests: int
    reasons: Mapping[str, int]
    ms: Mapping[str, tuple[float, ...] | None]


@immutable
class BackendLine:
    """`failovers`: requests that it answered, but not at the first attempt; `availability`: the
    share of the probes that found it up, None without an objective for it."""

    backend: str
    requests: int
    failovers: int
    tokens_in: int
    tokens_out: int
    availability: float | None


@immutable
class Report:
    """Of the time from `start` until before `end`, local times. `tests`: requests that are not
    counted because they were marked as tests."""

    start: datetime
    end: datetime
    objectives: list[ObjectiveLine]
    routes: list[RouteLine]
    backends: list[BackendLine]
    alerts: list[Fired]
    tests: int


@dataclass
class _Server:
    """A backend as `is_meant` looks at it."""

    name: str
    url: str
    local: bool = True
    in_good_health: bool = True


@dataclass(slots=True)
class _Route:
    reasons: Counter[str] = field(default_factory=Counter)
    times: "tuple[array[float], ...]" = field(
        default_factory=lambda: tuple(array("f") for _ in TIMES)
    )


@dataclass(slots=True)
class _Backend:
    requests: int = 0
    failovers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


def make_report(
    index: Path,
    profiles: Sequence[Profile],
    days: int,
    now: float,
    *,
    zone: tzinfo | None = None,
    urls: Mapping[str, str] | None = None,
    progress: Progress = lambda *_: None,
) -> Report:
    """Read the index.

    Args:
        now: seconds since 1970.
        zone: of the times; None: the system's.
        urls: of the configured backends, by name: an objective may name a backend by its URL.

    Raises:
        NoReport: the index is missing, empty, of another version or damaged.
    """
    if not index.exists():
        raise NoReport(f"There is no index of requests at {index}.")
    try:
        with closing(read_only(index)) as connection:
            _check(connection, index)
            reader = _Reader(connection, days, now, zone, progress)
            return reader.report(profiles, urls or {}, index)
    except (sqlite3.Error, UnicodeDecodeError, ValueError, TypeError, OverflowError) as error:
        raise NoReport(f"The index {index} cannot be read: {error}.") from None


def _check(connection: sqlite3.Connection, index: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise NoReport(f"The index {index} was written by a later version of the router.")
    if version == 0:
        raise NoReport(f"The index {index} is empty.")
    if version < len(MIGRATIONS):
        raise NoReport(f"The index {index} is of an earlier version: start the router once.")


class _Reader:
    """Mutable state: what has been read."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        days: int,
        now: float,
        zone: tzinfo | None,
        progress: Progress,
    ) -> None:
        self._connection, self._zone, self._progress = connection, zone, progress
        self._end = int(now // 60) + 1
        self._start = self._end - days * _DAY // 60
        self._routes: dict[str, _Route] = {}
        self._backends: dict[str, _Backend] = {}
        self._tests = 0

    def report(self, profiles: Sequence[Profile], urls: Mapping[str, str], index: Path) -> Report:
        lines, up, alerts = self._objectives(profiles)
        self._requests()
        start, end = self._local(self._start), self._local(self._end)
        if not (self._routes or self._tests or any(line.share is not None for line in lines)):
            raise NoReport(f"The index {index} has nothing since {start:%Y-%m-%d %H:%M}.")
        return Report(
            start,
            end,
            lines,
            sorted(map(_route_line, self._routes, self._routes.values()), key=lambda o: o.route),
            [
                BackendLine(
                    name,
                    one.requests,
                    one.failovers,
                    one.tokens_in,
                    one.tokens_out,
                    _availability(_Server(name, urls.get(name, "")), up),
                )
                for name, one in sorted(self._backends.items())
            ],
            sorted(alerts, key=lambda alert: alert.last, reverse=True),
            self._tests,
        )

    def _objectives(
        self, profiles: Sequence[Profile]
    ) -> tuple[list[ObjectiveLine], list[ObjectiveLine], list[Fired]]:
        """All objectives with a target; those of them that say whether a backend is up; alerts."""
        lines: list[ObjectiveLine] = []
        up: list[ObjectiveLine] = []
        alerts: list[Fired] = []
        days = list(self._days())
        wanted = [(p, o) for p in profiles for o in p.objectives]
        first = self._start - LONGEST // 60
        for done, (profile, objective) in enumerate(wanted):
            self._progress("events", done / len(wanted))
            minutes = read_minutes(self._connection, objective.name, first, self._end)
            alerts += fired(profile, objective, minutes, self._start)
            if objective.target is None:
                continue
            line = self._line(objective, minutes, days)
            lines.append(line)
            if objective.measure.kind == "up":
                up.append(line)
        self._progress("events", 1.0)
        return lines, up, alerts

    def _line(
        self, objective: Objective, minutes: Minutes, days: list[tuple[date, int, int]]
    ) -> ObjectiveLine:
        good, bad = minutes.within(self._start, self._end)
        shares = []
        for day, start, end in days:
            well, badly = minutes.within(start, end)
            if well + badly:
                shares.append((well / (well + badly), day))
        worst = min(shares, default=None)
        well, badly = minutes.within(self._end - _HOUR // 60, self._end)
        burn = badly / (well + badly) / objective.budget if well + badly else None
        return ObjectiveLine(
            objective, good, bad, None if worst is None else (worst[1], worst[0]), burn
        )

    def _days(self) -> Iterator[tuple[date, int, int]]:
        """The days of the period in local time, with their first minute and that after them."""
        day = self._local(self._start).date()
        start = self._start
        while start < self._end:
            day += timedelta(days=1)
            midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
            end = min(int(midnight.timestamp() // 60), self._end)
            if end > start:
                yield day - timedelta(days=1), start, end
            start = end

    def _local(self, minute: int) -> datetime:
        at = datetime.fromtimestamp(minute * 60, self._zone)
        return at if self._zone else at.astimezone()

    def _requests(self) -> None:
        since, until = self._start * 60, self._end * 60
        first, last = self._connection.execute(
            "SELECT (SELECT min(rowid) FROM requests WHERE at >= ?), max(rowid) FROM requests",
            (since,),
        ).fetchone()
        if first is not None:
            for rowid in range(first, last + 1, _AT_ONCE):
                self._progress("requests", (rowid - first) / (last + 1 - first))
                self._add(self._connection.execute(_ROWS, (rowid, rowid + _AT_ONCE, since, until)))
        self._progress("requests", 1.0)

    def _add(self, rows: sqlite3.Cursor) -> None:
        for route, backend, outcome, reason, attempts, tokens_in, tokens_out, test, *times in rows:
            if test is not None:
                self._tests += 1
                continue
            of_route = self._routes.get(route)
            if of_route is None:
                of_route = self._routes[route] = _Route()
            of_route.reasons[reason] += 1
            if outcome in _ANSWERED:
                for column, ms in zip(of_route.times, times, strict=True):
                    if ms is not None:
                        column.append(ms)
            if backend is None:
                continue
            of_backend = self._backends.get(backend)
            if of_backend is None:
                of_backend = self._backends[backend] = _Backend()
            of_backend.requests += 1
            of_backend.failovers += attempts > 1 and outcome in _ANSWERED
            of_backend.tokens_in += tokens_in or 0
            of_backend.tokens_out += tokens_out or 0


def _route_line(name: str, route: _Route) -> RouteLine:
    ms = {}
    for time, column in zip(TIMES, route.times, strict=True):
        found = (
            np.percentile(np.frombuffer(column, dtype=np.float32), _PERCENTILES) if column else None
        )
        ms[time] = None if found is None else tuple(map(float, found))
    return RouteLine(name, route.reasons.total(), dict(route.reasons.most_common()), ms)


def _availability(server: _Server, up: Sequence[ObjectiveLine]) -> float | None:
    shares = [line.share for line in up if is_meant(line.objective.measure, server)]
    return next((share for share in shares if share is not None), None)
