"""Percentiles of times over a window, from every n-th request where there are many. Each look reads
the rows that are new since the last one only."""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from airouter.index.reading import last_before
from airouter.telemetry.derived import INSTANT

MOST = 10_000  # requests that are looked at; of 10,000, the 99th percentile is known to about 5 %
_SHORT = 0.02  # seconds: an answer that came at once has no rate
_NAMES = ("route", "tier", "backend")
_TIMES = (
    *("classification_ms", "enrichment_ms", "queue_ms", "connect_ms", "backend_ttft_ms"),
    *("inference_ms", "own_ms", "total_ms", "ttft_ms"),
)
_COLUMNS = (*_NAMES, "rowid", "at", "tokens_out", "decided", *_TIMES)
_SELECT = f"""
    SELECT {", ".join(_NAMES)}, rowid, at, tokens_out,
        endpoint = 'chat' AND requested_route = 'auto' AND label IS NOT NULL, {", ".join(_TIMES)}
    FROM requests WHERE rowid > ? AND rowid <= ? AND rowid % ? = 0 AND +at >= ?
    AND outcome IN ('ok', 'truncated')
"""
# Tiers that decide without a model what a model would have decided otherwise.
DECIDED_AT_ONCE = INSTANT - {"explicit", "conversation"}
_STAGES = (
    ("decision", "classification_ms"),
    ("search", "enrichment_ms"),
    ("queue", "queue_ms"),
    ("connect", "connect_ms"),
    ("first content", "backend_ttft_ms"),
    ("answer", "inference_ms"),
    ("router", "own_ms"),
    ("total", "total_ms"),
)
_QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
Percentiles = dict[str, float]


def percentiles(values: Any) -> Percentiles | None:
    """By the nearest rank; None without values. NaN is no value."""
    ordered = np.sort(values)  # NaN comes last
    count = len(ordered) - int(np.isnan(ordered).sum())
    if not count:
        return None
    return {
        name: round(float(ordered[max(0, int(np.ceil(q * count)) - 1)]), 3)
        for name, q in _QUANTILES
    }


class Sample:
    """Answered requests of a window, as columns; names are numbers (`_codes`). For one thread."""

    def __init__(self) -> None:
        self._step = 1  # every n-th row is looked at
        self._codes: dict[str, dict[str | None, int]] = {name: {} for name in _NAMES}
        self._columns: dict[str, Any] = {}
        self.clear()

    def clear(self) -> None:
        self._columns = {
            name: np.empty(0, dtype=np.int32 if name in _NAMES else float) for name in _COLUMNS
        }

    @property
    def complete(self) -> bool:
        """Whether all requests are looked at."""
        return self._step == 1

    def read(
        self, connection: sqlite3.Connection, since: float, rows: tuple[int, int], total: int
    ) -> None:
        """Take what is new, and forget what has become old.

        Args:
            since: the begin of the window, in seconds since 1970.
            rows: numbers of the last row that is known and of the newest.
            total: requests in the window.

        Raises:
            sqlite3.Error: the index cannot be read.
        """
        if self._step > 1 and total * 4 <= MOST * self._step:  # they have become few: read them all
            self.clear()
            self._step = 1
            rows = last_before(connection, since), rows[1]
        while total > MOST * self._step:
            self._step *= 2
        found = connection.execute(_SELECT, (*rows, self._step, since)).fetchall()
        kept = (self._columns["at"] >= since) & (self._columns["rowid"] % self._step == 0)
        new = list(zip(*found, strict=True)) or [()] * len(_COLUMNS)
        for name, values in zip(_COLUMNS, new, strict=True):
            column = self._columns[name]
            if name in _NAMES:
                codes = self._codes[name]
                values = tuple(codes.setdefault(value, len(codes)) for value in values)
            fresh = np.array(values, dtype=column.dtype)
            self._columns[name] = np.concatenate((column[kept], fresh))

    def percentiles(self, name: str) -> Percentiles | None:
        return percentiles(self._columns[name])

    def by(self, group: str, name: str) -> dict[str, Percentiles | None]:
        """Percentiles of a column by the values of another."""
        return {
            value: percentiles(self._columns[name][there]) for value, there in self._groups(group)
        }

    def _groups(self, group: str) -> Iterator[tuple[str, Any]]:
        column = self._columns[group]
        for value, code in self._codes[group].items():
            if value is not None and (there := column == code).any():
                yield value, there

    def _among(self, group: str, wanted: Callable[[str], bool]) -> Any:
        codes = self._codes[group].items()
        chosen = [code for value, code in codes if value is not None and wanted(value)]
        return np.isin(self._columns[group], chosen)

    def series(self, name: str, since: float, bucket: float, buckets: int) -> dict[str, list[Any]]:
        """Percentiles of a column per bucket of time; None where there are no values."""
        numbers = ((self._columns["at"] - since) // bucket).astype(int)
        order = np.argsort(numbers, kind="stable")
        bounds = np.searchsorted(numbers[order], np.arange(buckets + 1))
        values = self._columns[name][order]
        found = [
            percentiles(values[begin:end]) if end > begin else None
            for begin, end in pairwise(bounds)
        ]
        return {q: [None if one is None else one[q] for one in found] for q, _ in _QUANTILES}

    def stages(self) -> Iterator[dict[str, Any]]:
        """Percentiles of the stages of a request, in the order in which it goes through them."""
        for stage, name in _STAGES:
            values = self._columns[name]
            if name == "classification_ms":
                values = values[self._columns["decided"] == 1]
            found = percentiles(values)
            if found is not None:
                yield {"stage": stage, "n": int(np.count_nonzero(~np.isnan(values)))} | found

    def decisions(self) -> dict[str, Percentiles | None]:
        """Percentiles of the decision's time by tier."""
        decided, took = self._columns["decided"] == 1, self._columns["classification_ms"]
        return {tier: percentiles(took[there & decided]) for tier, there in self._groups("tier")}

    def tokens_per_second(self) -> dict[str, float]:
        """Median by backend, from the first content to the end."""
        seconds = (self._columns["inference_ms"] - self._columns["backend_ttft_ms"]) / 1000
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.where(seconds > _SHORT, self._columns["tokens_out"] / seconds, np.nan)
        medians = {name: percentiles(rates[there]) for name, there in self._groups("backend")}
        return {name: found["p50"] for name, found in medians.items() if found is not None}

    def saved_at_once(self, speculates: bool) -> tuple[float, float] | None:
        """What a decision without a model saves until the first content.

        The answer would have waited for a decision by a model, of which the median is taken. Where
        the primary would have begun to answer meanwhile, only the part after its first content
        counts.

        Args:
            speculates: whether it would have.

        Returns:
            (mean of the milliseconds saved per such decision, the median that they are compared
            with); None if no model decided, or nothing was decided without one.
        """
        took, decided = self._columns["classification_ms"], self._columns["decided"] == 1
        instant = decided & self._among("tier", DECIDED_AT_ONCE.__contains__)
        by_model = percentiles(took[decided & self._among("tier", lambda one: one not in INSTANT)])
        if by_model is None or not instant.any():
            return None
        median = by_model["p50"]
        beside = np.zeros(len(took))
        if speculates:
            local = self._among("route", ("primary", "meta").__contains__)
            beside = np.where(local, np.nan_to_num(self._columns["backend_ttft_ms"]), 0.0)
        saved = np.maximum(0.0, median - np.maximum(np.nan_to_num(took), beside))
        return float(saved[instant].mean()), median
