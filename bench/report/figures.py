"""Which pictures the results deserve: from the tables of a JSON file to figures, which know nothing of how they are drawn."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.stats import FEW

Table = Mapping[str, Any]
_RANGE = re.compile(r"^([\d,.]+)(?:–([\d,.]+))?$")
_SUFFIX = re.compile(r"\s*\[[^\]]*\]$")


@dataclass(frozen=True, slots=True)
class Span:
    """A distribution: the smallest, p50, p95 and p99 of what was measured.

    Of few samples p95 is the p50 and p99 the largest, and `few` says so. `reference`: the published
    range, if there is one.
    """

    name: str
    smallest: float
    p50: float
    p95: float
    p99: float
    reference: tuple[float, float] | None = None
    few: bool = False


@dataclass(frozen=True, slots=True)
class Spans:
    title: str
    unit: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Bars:
    title: str
    unit: str
    bars: Sequence[tuple[str, float]]
    ours: str = ""  # the bar that is ours: it is drawn in another colour
    parts: bool = False  # parts of a whole: never on a logarithmic scale


@dataclass(frozen=True, slots=True)
class Lines:
    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False


Figure = Spans | Bars | Lines


def base_title(table: Table) -> str:
    """A table's title without what the run adds to it in brackets."""
    return _SUFFIX.sub("", str(table.get("title", "")))


def figures_of(table: Table) -> list[Figure]:
    """Pictures for one table; none where numbers say it better."""
    own = _OWN.get(str(table.get("benchmark")))
    found = own(table) if own is not None else []
    return [*found, *_spans(table)]


def is_summary(value: Any) -> bool:
    return isinstance(value, Mapping) and {"p50", "p95", "p99", "smallest"} <= value.keys()


def samples(value: Mapping[str, Any]) -> int:
    """Of how many values a summary is; of an old file that does not say, of enough."""
    n = value.get("n")
    return n if isinstance(n, int) else FEW


def _spans(table: Table) -> list[Figure]:
    """The distributions of a table, in ms, one picture for each kind of time that its rows have."""
    kinds: dict[str, list[Span]] = {}
    for row in table.get("rows", ()):
        for name, value in row.items():
            if is_summary(value) and (
                name == "seconds" or (name.endswith("_s") and name != "tok_s")
            ):
                few = samples(value) < FEW and "largest" in value
                parts = ("smallest", "p50", *(("p50", "largest") if few else ("p95", "p99")))
                smallest, p50, p95, p99 = (1000 * float(value[part]) for part in parts)
                title = str(row.get("name", "")).strip()
                kinds.setdefault(name, []).append(
                    Span(title, smallest, p50, p95, p99, _published(row), few)
                )
    words = {
        "total_s": "whole answer",
        "first_s": "first content",
        "late_s": "delay of a chunk",
        "gap_s": "gap between chunks",
    }
    words |= {"served_s": "served", "refused_s": "refused", "latency_s": "time of an answer"}
    pictures: list[Figure] = []
    for name, spans in kinds.items():
        what = (
            f": {words[name]}" if name in words and (len(kinds) > 1 or name == "latency_s") else ""
        )
        pictures.append(Spans(f"{base_title(table)}{what}", "ms", spans))
    return pictures


def _published(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The published range of a route's total, in ms."""
    reference = row.get("reference")
    match = (
        _RANGE.match(str(reference[3]))
        if isinstance(reference, list) and len(reference) > 3
        else None
    )
    if match is None:
        return None
    low = float(match[1].replace(",", ""))
    return low, float(match[2].replace(",", "")) if match[2] else low


def _throughput(table: Table) -> list[Figure]:
    rates: dict[str, list[tuple[float, float]]] = {}
    tails: dict[str, list[tuple[float, float]]] = {}
    for row in table.get("rows", ()):
        name, users = str(row.get("name", "")).rpartition(", ")[0], row.get("users")
        if users is None:
            continue
        rates.setdefault(name, []).append((float(users), float(row["requests_per_s"])))
        if is_summary(row.get("latency_s")) and samples(row["latency_s"]) >= FEW:
            tails.setdefault(name, []).append((float(users), 1000 * float(row["latency_s"]["p99"])))
    found: list[Figure] = []
    if rates:
        found.append(
            Lines(
                "Requests per second over concurrency", "at a time", "requests/s", rates, log_x=True
            )
        )
    if tails:
        found.append(
            Lines("p99 of the answers over concurrency", "at a time", "ms", tails, log_x=True)
        )
    return found


def _overload(table: Table) -> list[Figure]:
    rows = [row for row in table.get("rows", ()) if row.get("offered")]
    if not rows:
        return []
    series = {
        what: [
            (
                float(row["offered_per_s"]),
                float(row["offered_per_s"]) * float(row[what]) / float(row["offered"]),
            )
            for row in rows
        ]
        for what in ("served", "refused")
    }
    return [
        Lines(
            "Served and refused over the load offered", "requests/s offered", "requests/s", series
        )
    ]


def _profile(table: Table) -> list[Figure]:
    stages = [
        (str(row["name"]), float(row["us"]))
        for row in table.get("rows", ())
        if "us" in row and "calls" in row
    ]
    return (
        [Bars("Where a request's time goes in the router", "µs", stages, parts=True)]
        if stages
        else []
    )


def _history(table: Table) -> list[Figure]:
    added = [
        (str(row["name"]), 1000 * float(row["added_p50_s"]))
        for row in table.get("rows", ())
        if row.get("added_p50_s") is not None
    ]
    return [Bars("Cost over history: added latency, p50", "ms", added)] if added else []


# Of the peers' measures those that make a picture: (measure, title, unit, factor).
_PEERS = (
    ("added_whole_p50", "Added latency, one request at a time, p50", "ms", 1000.0),
    ("added_whole_p99", "Added latency, one request at a time, p99", "ms", 1000.0),
    ("requests_per_s", "Requests per second, 64 at a time", "requests/s", 1.0),
    ("added_first_p50", "Added to the first content of a stream, p50", "ms", 1000.0),
    ("added_relay_p99", "Hundreds of streams: added to a chunk, p99", "ms", 1000.0),
    ("pss_loaded", "Memory per worker under hundreds of streams", "MB", 1.0),
    ("cold_start", "Cold start to the first answer", "s", 1.0),
)


def _peers(table: Table) -> list[Figure]:
    rows = {row["measure"]: row for row in table.get("rows", ()) if "measure" in row}
    found: list[Figure] = []
    for measure, title, unit, factor in _PEERS:
        values = rows.get(measure, {}).get("contenders", {})
        bars = [
            (name, factor * float(value["value"]))
            for name, value in values.items()
            if "value" in value
        ]
        if len(bars) > 1:
            found.append(Bars(title, unit, bars, ours="ai-router"))
    quantiles: Mapping[str, Mapping[str, float]] = next(
        (row["quantiles_s"] for row in rows.values() if "quantiles_s" in row), {}
    )
    if quantiles:
        curves = {
            name: [(100 * float(q), 1000 * float(value)) for q, value in grid.items() if value > 0]
            for name, grid in quantiles.items()
        }
        curves = {name: points for name, points in curves.items() if len(points) > 1}
        if curves:
            found.append(
                Lines(
                    "Added latency by percentile, one request at a time", "percentile", "ms", curves
                )
            )
    return found


_OWN: Mapping[str, Callable[[Table], list[Figure]]] = {
    "throughput": _throughput,
    "overload": _overload,
    "profile": _profile,
    "history": _history,
    "peers": _peers,
}
