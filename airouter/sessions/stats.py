"""Counts, times, tokens, and what speculation saved, per route, tier and backend."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from airouter.sessions.cache_saved import Prefill, cache_saved_ms
from airouter.sessions.find import Row
from airouter.sessions.terminal import NONE, clean, local_time, milliseconds, table

GROUPS = ("route", "tier", "backend")
COLUMNS = (
    *("at", *GROUPS, "outcome", "speculation", "total_ms", "ttft_ms", "classification_ms"),
    *("backend_ttft_ms", "tokens_in", "tokens_out", "tokens_cached", "tokens_wasted", "test"),
    "stream",
)
_PERCENTILES = (50, 95, 99)
_ANSWERED = ("ok", "truncated")  # the outcomes whose times count, as for the objectives
NOTE = (
    "Times in ms, of answered requests: p50 / p95 / p99. Saved: by how much earlier the first "
    "content came than it would have come after the decision, at least; of speculations that won. "
    "Wasted: tokens of speculations that were cancelled. Cache saved: cached tokens ÷ the prefill "
    "speed of their backend, which is prompt tokens not cached ÷ time to the first content, of "
    "streams with 256 such tokens or more."
)


@dataclass(slots=True)
class Group:
    """The requests with one value of a column. `saved_ms`: by speculation; see `saved_ms()`.
    `cached`: tokens from prefix caches, by backend."""

    outcomes: Counter[str] = field(default_factory=Counter)
    speculations: Counter[str] = field(default_factory=Counter)
    saved_ms: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    cached: Counter[str] = field(default_factory=Counter)
    tokens_wasted: int = 0
    total: "array[float]" = field(default_factory=lambda: array("d"))
    ttft: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, one: Row) -> None:
        self.outcomes[one["outcome"]] += 1
        if one["outcome"] in _ANSWERED:
            self.total.append(one["total_ms"])
            if one["ttft_ms"] is not None:
                self.ttft.append(one["ttft_ms"])
        if one["speculation"] is not None:
            self.speculations[one["speculation"]] += 1
            self.saved_ms += saved_ms(one)
        self.tokens_in += one["tokens_in"] or 0
        self.tokens_out += one["tokens_out"] or 0
        if one["tokens_cached"]:
            self.cached[one["backend"] or NONE] += one["tokens_cached"]
        self.tokens_wasted += one["tokens_wasted"] or 0

    @property
    def tokens_cached(self) -> int:
        return self.cached.total()

    @property
    def requests(self) -> int:
        return self.outcomes.total()


@dataclass(slots=True)
class Stats:
    """`groups`: by column, then by value. `tests`: requests marked as tests, which count, too.
    `prefills`: by backend."""

    everything: Group
    groups: dict[str, dict[str, Group]]
    first: float | None
    last: float | None
    tests: int
    prefills: dict[str, Prefill] = field(default_factory=dict)


def saved_ms(one: Row) -> float:
    """The time that speculation saved until the first content, in ms; 0 where it did not win.

    Without it, the backend would have been asked after the decision, so the first content would
    have come after `classification_ms` + `backend_ttft_ms` and the router's own part. Without the
    latter, the difference to `ttft_ms` is a lower bound.
    """
    ttft, backend = one["ttft_ms"], one["backend_ttft_ms"]
    if one["speculation"] != "won" or ttft is None or backend is None:
        return 0.0
    return float(max(0.0, (one["classification_ms"] or 0.0) + backend - ttft))


def collect(rows: Iterable[Row]) -> Stats:
    """Add up rows that have at least `COLUMNS`."""
    everything = Group()
    groups: dict[str, dict[str, Group]] = {name: {} for name in GROUPS}
    first: float | None = None
    last: float | None = None
    tests = 0
    prefills: dict[str, Prefill] = {}
    for one in rows:
        at = one["at"]
        first = at if first is None else min(first, at)
        last = at if last is None else max(last, at)
        tests += one["test"] is not None
        everything.add(one)
        if one["backend"] is not None and one["outcome"] in _ANSWERED:
            prefills.setdefault(one["backend"], Prefill()).add(one)
        for name, of_column in groups.items():
            value = one[name] or NONE
            group = of_column.get(value)
            if group is None:
                group = of_column[value] = Group()
            group.add(one)
    return Stats(everything, groups, first, last, tests, prefills)


def percentiles(times: "array[float]") -> tuple[float, ...] | None:
    """p50, p95 and p99; None without times."""
    if not times:
        return None
    return tuple(map(float, np.percentile(np.frombuffer(times), _PERCENTILES)))


def as_json(stats: Stats) -> dict[str, object]:
    """The statistics as JSON; times in ms."""
    return {
        "requests": stats.everything.requests,
        "tests": stats.tests,
        "first": stats.first,
        "last": stats.last,
        "prefill_tokens_per_s": {
            name: prefill.tokens_per_s for name, prefill in stats.prefills.items()
        },
        "all": _json(stats.everything, stats),
        **{
            name: {value: _json(group, stats) for value, group in of_column.items()}
            for name, of_column in stats.groups.items()
        },
    }


def _json(group: Group, stats: Stats) -> dict[str, object]:
    return {
        "requests": group.requests,
        "outcomes": dict(group.outcomes),
        "total_ms": percentiles(group.total),
        "ttft_ms": percentiles(group.ttft),
        "speculation": dict(group.speculations),
        "saved_ms": group.saved_ms,
        "tokens_in": group.tokens_in,
        "tokens_out": group.tokens_out,
        "tokens_cached": group.tokens_cached,
        "tokens_wasted": group.tokens_wasted,
        "cache_saved_ms": cache_saved_ms(group.cached, stats.prefills),
    }


def printed(stats: Stats, source: str) -> Iterator[RenderableType]:
    """What `stats` prints."""
    count = f"{stats.everything.requests:,} requests"
    if stats.first is None or stats.last is None:
        yield Text(f"No requests in {source} fit.")
        return
    span = f"{local_time(stats.first)} to {local_time(stats.last)}"
    tests = f", {stats.tests:,} of them of tests" if stats.tests else ""
    yield Text.assemble((f"{count} from {span}", "bold"), f", from {source}{tests}")
    groups = [
        (name, value, group)
        for name, of_column in stats.groups.items()
        for value, group in sorted(of_column.items(), key=lambda item: -item[1].requests)
    ]
    groups.append(("all", "", stats.everything))
    yield Text()
    yield table(
        (
            *(("by", False), ("", False), ("requests", True), ("outcomes", False)),
            *(("total", True), ("first content", True)),
        ),
        [
            (
                *(name, clean(value), f"{group.requests:,}", _counts(group.outcomes)),
                *(_times(times) for times in (group.total, group.ttft)),
            )
            for name, value, group in groups
        ],
    )
    yield Text()
    yield table(
        (
            *(("by", False), ("", False), ("speculation", False), ("saved s", True)),
            *(("tokens in", True), ("cached", True), ("cache saved s", True), ("out", True)),
            ("wasted", True),
        ),
        [(name, clean(value), *_economics(group, stats)) for name, value, group in groups],
    )
    yield Text(f"\n{NOTE}", style="dim")


def _economics(group: Group, stats: Stats) -> tuple[str, ...]:
    spared = cache_saved_ms(group.cached, stats.prefills)
    return (
        _counts(group.speculations) or NONE,
        f"{group.saved_ms / 1000:,.1f}" if group.speculations else NONE,
        *(f"{number:,}" for number in (group.tokens_in, group.tokens_cached)),
        NONE if spared is None else f"{spared / 1000:,.1f}",
        *(f"{number:,}" for number in (group.tokens_out, group.tokens_wasted)),
    )


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{clean(name)} {number:,}" for name, number in counts.most_common())


def _times(times: "array[float]") -> str:
    found = percentiles(times)
    return NONE if found is None else " / ".join(map(milliseconds, found))
