"""Percentiles of times over a window, from every n-th request where there are many."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from airouter.telemetry.derived import INSTANT

MOST = 10_000  # requests that are looked at; of 10,000, the 99th percentile is known to about 5 %
_TIMES = (
    *("classification_ms", "enrichment_ms", "queue_ms", "connect_ms", "backend_ttft_ms"),
    *("inference_ms", "own_ms", "total_ms", "ttft_ms"),
)
_COLUMNS = (*("at", "route", "tier", "backend", "tokens_out", "decided"), *_TIMES)
_QUERY = f"""
    SELECT at, route, tier, backend, tokens_out,
        endpoint = 'chat' AND requested_route = 'auto' AND label IS NOT NULL, {", ".join(_TIMES)}
    FROM requests WHERE at >= ? AND rowid % ? = 0 AND outcome IN ('ok', 'truncated')
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
_SHORT = 0.02  # seconds: an answer that came at once has no rate
Percentiles = dict[str, float]


def percentiles(values: Any) -> Percentiles | None:
    """By the nearest rank; None without values. NaN is no value."""
    ordered = np.sort(values[~np.isnan(values)])
    if not len(ordered):
        return None
    return {
        name: round(float(ordered[max(0, int(np.ceil(q * len(ordered))) - 1)]), 3)
        for name, q in _QUANTILES
    }


class Sample:
    """Answered requests of a window, as columns.

    Args:
        connection: None: there are no requests yet.
        since: seconds since 1970.
        total: requests in the window, about.

    Raises:
        sqlite3.Error: the index cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection | None, since: float, total: int) -> None:
        step = max(1, -(-total // MOST))
        rows: list[Any] = []
        if connection is not None:
            rows = connection.execute(_QUERY, (since, step)).fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
        self._columns: dict[str, Any] = {}
        for name, values in zip(_COLUMNS, columns, strict=True):
            text = name in ("route", "tier", "backend")
            self._columns[name] = np.array(values, dtype=object if text else float)
        self.complete = step == 1

    def percentiles(self, name: str) -> Percentiles | None:
        return percentiles(self._columns[name])

    def by(self, group: str, name: str) -> dict[str, Percentiles | None]:
        """Percentiles of a column by the values of another."""
        keys = self._columns[group]
        return {
            key: percentiles(self._columns[name][keys == key])
            for key in {key for key in keys if key is not None}
        }

    def series(self, name: str, since: float, bucket: float, buckets: int) -> dict[str, list[Any]]:
        """Percentiles of a column per bucket of time; None where there are no values."""
        numbers = ((self._columns["at"] - since) // bucket).astype(int)
        order = np.argsort(numbers, kind="stable")
        bounds = np.searchsorted(numbers[order], np.arange(buckets + 1))
        values = self._columns[name][order]
        found = [percentiles(values[bounds[i] : bounds[i + 1]]) for i in range(buckets)]
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
        decided = self._columns["decided"] == 1
        tiers, times = self._columns["tier"][decided], self._columns["classification_ms"][decided]
        return {tier: percentiles(times[tiers == tier]) for tier in set(tiers) if tier is not None}

    def tokens_per_second(self) -> dict[str, float]:
        """Median by backend, from the first content to the end."""
        seconds = (self._columns["inference_ms"] - self._columns["backend_ttft_ms"]) / 1000
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.where(seconds > _SHORT, self._columns["tokens_out"] / seconds, np.nan)
        keys = self._columns["backend"]
        medians = {
            key: percentiles(rates[keys == key]) for key in {key for key in keys if key is not None}
        }
        return {key: found["p50"] for key, found in medians.items() if found is not None}

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
        tiers, took = self._columns["tier"], self._columns["classification_ms"]
        decided = self._columns["decided"] == 1
        instant = decided & _among(tiers, DECIDED_AT_ONCE.__contains__)
        waited = decided & _among(tiers, lambda tier: tier is not None and tier not in INSTANT)
        by_model = percentiles(took[waited])
        if by_model is None or not instant.any():
            return None
        median = by_model["p50"]
        beside = np.zeros(len(tiers))
        if speculates:
            local = _among(self._columns["route"], lambda route: route in ("primary", "meta"))
            beside = np.where(local, np.nan_to_num(self._columns["backend_ttft_ms"]), 0.0)
        saved = np.maximum(0.0, median - np.maximum(np.nan_to_num(took), beside))
        return float(saved[instant].mean()), median


def _among(values: Any, wanted: Callable[[Any], bool]) -> Any:
    return np.fromiter((wanted(value) for value in values), dtype=bool, count=len(values))
