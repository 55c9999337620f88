"""Counts mappings: for the metrics, for the objectives, and the last minute for the dashboard."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airouter.domain.clock import Clock
from airouter.mapper.answer import Outcome
from airouter.telemetry.mapper_metrics import BUCKETS, MapperMetrics

WINDOW = 60  # seconds that `recent()` covers
SCHEMA_VALID, BY_MODEL, AVAILABLE = "mapper-schema-valid", "mapper-by-model", "mapper-available"
# A second of `recent()`: requests, fallbacks, outputs checked, valid ones; then durations by
# bucket.
_REQUESTS, _FALLBACKS, _CHECKED, _VALID, _BUCKETS = range(5)
SIZE = _BUCKETS + len(BUCKETS) + 1
Events = tuple[tuple[str, bool], ...]


class Meter:
    """Mutable state: what the last seconds had, under a lock. Any thread may call it.

    Args:
        note: told of the events of objectives: (name, whether it is good).
        limits: of the objectives about latency, in milliseconds, by name.
    """

    def __init__(
        self,
        metrics: MapperMetrics,
        note: Callable[[Events], None],
        limits: Mapping[str, float],
        clock: Clock,
    ) -> None:
        self._metrics, self._note, self._clock = metrics, note, clock
        self._limits = tuple(limits.items())
        self._lock = threading.Lock()
        self._seconds = [(0, [0] * SIZE)] * WINDOW

    def mapped(self, detector: str, outcome: Outcome, seconds: float, *, counts: bool) -> None:
        """A request was mapped.

        Args:
            detector: as the metrics' label has it.
            counts: for the objectives; not where it is marked as a test.
        """
        valid, fallback = outcome.valid, outcome.fallback
        self._metrics.count(detector, "success", seconds=seconds, valid=valid, fallback=fallback)
        row = self._row()
        with self._lock:
            row[_REQUESTS] += 1
            row[_FALLBACKS] += fallback is not None
            row[_CHECKED] += valid is not None
            row[_VALID] += valid is True
            row[_BUCKETS + bisect_left(BUCKETS, seconds)] += 1
        if counts:
            more = () if valid is None else ((SCHEMA_VALID, valid),)
            by_model = (BY_MODEL, fallback is None)
            self._note((*self._latency(seconds), (AVAILABLE, True), by_model, *more))

    def replayed(self, detector: str) -> None:
        """A request was answered as before (`Idempotency-Key`)."""
        self._metrics.count(detector, "replayed")

    def refused(self, detector: str, status: str) -> None:
        """A request ended with an error that is the client's own: no objective counts it."""
        self._metrics.count(detector, status)

    def failed(self, detector: str, status: str, seconds: float, *, counts: bool) -> None:
        """A request ended with an error that is not the client's."""
        self._metrics.count(detector, status, seconds=seconds)
        if counts:
            self._note((*self._latency(seconds), (AVAILABLE, False)))

    def _latency(self, seconds: float) -> Events:
        ms = seconds * 1000
        return tuple([(name, ms <= limit) for name, limit in self._limits])

    def _row(self) -> list[int]:
        second = int(self._clock.monotonic())
        at = second % WINDOW
        if self._seconds[at][0] != second:
            self._seconds[at] = second, [0] * SIZE
        return self._seconds[at][1]

    def recent(self) -> list[int]:
        """The sums of the last minute; to be added to those of other workers for `described()`."""
        oldest = int(self._clock.monotonic()) - WINDOW
        rows = [row for second, row in self._seconds if second > oldest]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * SIZE


def described(sums: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The last minute of all workers, as the dashboard and `/metrics/summary` show it. Shares are 0
    to 1; None without any events."""
    total = [sum(column) for column in zip(*sums, strict=True)]
    requests, checked = total[_REQUESTS], total[_CHECKED]
    p95 = _quantile(0.95, total[_BUCKETS:])
    return {
        "requests_per_s": round(requests / WINDOW, 3),
        "fallback_share": round(total[_FALLBACKS] / requests, 4) if requests else None,
        "schema_valid_share": round(total[_VALID] / checked, 4) if checked else None,
        "p95_ms": None if p95 is None else round(p95 * 1000, 1),
    }


def _quantile(q: float, buckets: Sequence[int]) -> float | None:
    """In seconds, interpolated within its bucket, as PromQL's histogram_quantile does."""
    rank, below = q * sum(buckets), 0
    if rank == 0:
        return None
    for number, count in enumerate(buckets[:-1]):
        if count and below + count >= rank:
            low = BUCKETS[number - 1] if number else 0.0
            return low + (BUCKETS[number] - low) * (rank - below) / count
        below += count
    return BUCKETS[-1]
