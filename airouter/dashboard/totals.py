"""Counts and sums over a window of time, from the index of requests. Each look reads the rows that
are new since the last one only."""

import sqlite3
from collections import defaultdict, deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from airouter.index.reading import last_before

_SAVED = "max(0, classification_ms + backend_ttft_ms - ttft_ms)"
_NEW = f"""
    SELECT CAST(at / :bucket AS INTEGER), route, ifnull(tier, 'none'), backend, model, outcome,
        speculation, enrichment_ms IS NOT NULL, attempts > 1,
        endpoint = 'chat' AND requested_route = 'auto' AND label IS NOT NULL,
        count(*), ifnull(sum(tokens_in), 0), ifnull(sum(tokens_out), 0),
        ifnull(sum(tokens_cached), 0), sum(tokens_wasted),
        ifnull(sum(CASE WHEN speculation = 'won' THEN {_SAVED} END), 0)
    FROM requests WHERE +at >= :since AND rowid > :seen AND rowid <= :newest
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
_SHOWN = "id, at, route, backend, outcome, reason, status"
FAILED = ("upstream_error", "truncated", "router_error")  # whoever else is at fault: the client
_LATEST = (
    f"SELECT {_SHOWN} FROM requests WHERE +at >= :since AND rowid > :seen AND rowid <= :newest "
    "AND {} ORDER BY rowid DESC LIMIT :most"
)
_ERRORS = _LATEST.format(f"outcome IN {FAILED}")
_FALLBACKS = _LATEST.format("attempts > 1")
_MOST_ERRORS, _MOST_FALLBACKS = 8, 5


@dataclass(slots=True)
class Cell:
    """What is summed up of the requests that are alike. `saved_ms`: by speculation."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_wasted: int = 0
    saved_ms: float = 0.0

    def merge(self, other: "Cell") -> None:
        self.requests += other.requests
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.tokens_cached += other.tokens_cached
        self.tokens_wasted += other.tokens_wasted
        self.saved_ms += other.saved_ms


class Kind(NamedTuple):  # of which hundreds are looked up at each look
    """What requests that are alike have in common. `decided`: the router chose the route."""

    route: str
    tier: str
    backend: str | None
    model: str | None
    outcome: str
    speculation: str | None
    searched: bool
    again: bool
    decided: bool


@dataclass(slots=True)
class Totals:
    """Mutable state: the sums by bucket of time, and the row up to which they go. For one thread.

    Args:
        bucket: seconds.
        buckets: as many as the window has.
    """

    bucket: float
    buckets: int
    cells: dict[int, dict[Kind, Cell]] = field(default_factory=dict)
    errors: "deque[dict[str, Any]]" = field(default_factory=lambda: deque(maxlen=_MOST_ERRORS))
    fallbacks: "deque[dict[str, Any]]" = field(
        default_factory=lambda: deque(maxlen=_MOST_FALLBACKS)
    )
    _whole: dict[Kind, Cell] = field(default_factory=dict)  # all buckets together
    _seen: int = 0
    _file: tuple[int, int] = (0, 0)

    def read(
        self, connection: sqlite3.Connection, now: float, file: tuple[int, int]
    ) -> tuple[int, int]:
        """Take what is new, and forget what has become old.

        Args:
            now: seconds since 1970.
            file: what identifies the database: one that was deleted is begun anew.

        Returns:
            The numbers of the last row that was known, and of the newest. The first is 0, or that
            before the window, if it was begun anew.

        Raises:
            sqlite3.Error: it cannot be read.
        """
        newest = connection.execute("SELECT ifnull(max(rowid), 0) FROM requests").fetchone()[0]
        if file != self._file or newest < self._seen:
            self.cells.clear()
            self.errors.clear()
            self.fallbacks.clear()
            self._seen, self._file = 0, file
        first = self.first(now)
        if not self._seen:  # later, rows are found by their number: the newest are few
            self._seen = last_before(connection, first * self.bucket)
        values = {
            "bucket": self.bucket,
            "since": first * self.bucket,
            "seen": self._seen,
            "newest": newest,
        }
        for bucket, *rest in connection.execute(_NEW, values).fetchall():
            kind = Kind(*rest[:6], *map(bool, rest[6:9]))
            self.cells.setdefault(bucket, defaultdict(Cell))[kind].merge(Cell(*rest[9:]))
        for query, latest in ((_ERRORS, self.errors), (_FALLBACKS, self.fallbacks)):
            rows = connection.execute(query, values | {"most": latest.maxlen}).fetchall()
            names = _SHOWN.split(", ")
            latest.extendleft(dict(zip(names, row, strict=True)) for row in reversed(rows))
        for bucket in [bucket for bucket in self.cells if bucket < first]:
            del self.cells[bucket]
        for latest in (self.errors, self.fallbacks):
            while latest and latest[-1]["at"] < values["since"]:
                latest.pop()
        seen, self._seen = self._seen, newest
        self._whole = defaultdict(Cell)
        for kinds in self.cells.values():
            for kind, cell in kinds.items():
                self._whole[kind].merge(cell)
        return seen, newest

    @property
    def requests(self) -> int:
        """Of the whole window."""
        return sum(cell.requests for cell in self._whole.values())

    def first(self, now: float) -> int:
        """The number of the window's first bucket."""
        return int(now // self.bucket) - self.buckets + 1

    def by(self, *names: str) -> dict[Any, Cell]:
        """The sums of the whole window by the given fields of `Kind`."""
        found, values_of = defaultdict[Any, Cell](Cell), attrgetter(*names)
        for kind, cell in self._whole.items():
            found[values_of(kind)].merge(cell)
        return found

    def series(self, name: str, now: float) -> dict[str, list[int]]:
        """Requests per bucket, by a field of `Kind`."""
        first, value_of = self.first(now), attrgetter(name)
        found: dict[str, list[int]] = {}
        for bucket, kinds in self.cells.items():
            if not 0 <= bucket - first < self.buckets:
                continue  # of a clock that was set back
            for kind, cell in kinds.items():
                value = value_of(kind)
                if value not in found:
                    found[value] = [0] * self.buckets
                found[value][bucket - first] += cell.requests
        return found
