"""Which pictures the results deserve, and how matplotlib draws them: as SVG for the page and as PNG
files."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.stats import FEW

Table = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
Points = Sequence[tuple[float, float]]

_WIDE = 40.0  # beyond this ratio of the largest to the smallest a scale is logarithmic
_BAR, _OURS, _LINE = "#475569", "#c2410c", "#cbd5e1"
_SERIES = (_OURS, "#2563eb", "#15803d", "#7e22ce", "#111827", "#0891b2")
_LOOK: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "axes.edgecolor": _LINE}
_SUFFIX = re.compile(r"\s*\[[^\]]*\]$")


class NoPictures(Exception):
    """matplotlib is not installed."""


class Bar(NamedTuple):
    """A value; `reach`: from the smallest to the p99 of what was measured (of few samples, to the
    largest)."""

    name: str
    value: float
    reach: tuple[float, float] | None = None


class Bars(NamedTuple):
    title: str
    unit: str
    bars: Sequence[Bar]
    note: str = ""
    parts: bool = False  # of a whole: never on a logarithmic scale


class Lines(NamedTuple):
    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Points]
    log_x: bool = False


Figure = Bars | Lines

# Which pictures -----------------------------------------------------------------------------------


def figures_of(table: Table) -> list[Figure]:
    """Pictures for one table; none where numbers say it better."""
    rows = table.get("rows", ())
    own = _OWN.get(str(table.get("benchmark")))
    return [*(own(rows) if own else ()), *_distributions(table, rows)]


def base_title(table: Table) -> str:
    """A table's title without what the run adds to it in brackets."""
    return _SUFFIX.sub("", str(table.get("title", "")))


def _is_summary(value: Any) -> bool:
    return isinstance(value, Mapping) and {"p50", "p95", "p99", "smallest"} <= value.keys()


def _distributions(table: Table, rows: Rows) -> list[Figure]:
    """The distributions of a table, in ms: a picture for each kind of time that its rows have."""
    kinds: dict[str, list[Bar]] = {}
    few = False
    for row in rows:
        for kind, value in row.items():
            if (
                _is_summary(value)
                and (kind == "seconds" or kind.endswith("_s"))
                and kind != "tok_s"
            ):
                tail = "largest" if value.get("n", FEW) < FEW and "largest" in value else "p99"
                few = few or tail == "largest"
                low, middle, high = (1000 * value[part] for part in ("smallest", "p50", tail))
                name = f"{str(row.get('name', '')).strip()}{' *' if tail == 'largest' else ''}"
                bar = Bar(name, middle, (low, high))
                kinds.setdefault(kind.removesuffix("_s"), []).append(bar)
    note = "median, and from the smallest to p99"
    note += "; * few samples: to the largest" if few else ""
    title = base_title(table)
    titles = {kind: f"{title}: {kind}" if len(kinds) > 1 else title for kind in kinds}
    return [Bars(titles[kind], "ms", bars, note) for kind, bars in kinds.items()]


def _throughput(rows: Rows) -> list[Figure]:
    rates: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.get("users") is not None:
            name = str(row["name"]).rpartition(", ")[0]
            rates.setdefault(name, []).append((row["users"], row["requests_per_s"]))
    title = "Requests per second over concurrency"
    return [Lines(title, "at a time", "requests/s", rates, log_x=True)] if rates else []


def _bars_of(title: str, unit: str, key: str, factor: float, rows: Rows) -> list[Figure]:
    """One figure of each row that has it. Parts of a whole are rows with calls."""
    parts = any("calls" in row for row in rows)
    chosen = [row for row in rows if row.get(key) is not None and ("calls" in row) == parts]
    bars = [Bar(row["name"], factor * row[key]) for row in chosen]
    return [Bars(title, unit, bars, parts=parts)] if bars else []


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


def _peers(rows: Rows) -> list[Figure]:
    by_measure = {row["measure"]: row for row in rows if "measure" in row}
    found: list[Figure] = []
    for measure, title, unit, factor in _PEERS:
        values = by_measure.get(measure, {}).get("contenders", {}).items()
        bars = [Bar(name, factor * one["value"]) for name, one in values if "value" in one]
        found += [Bars(title, unit, bars)] if len(bars) > 1 else []
    curves: dict[str, Points] = {}
    for name, grid in next(
        (row["quantiles_s"] for row in rows if "quantiles_s" in row), {}
    ).items():
        points = [(100 * float(q), 1000 * value) for q, value in grid.items() if value > 0]
        curves |= {name: points} if len(points) > 1 else {}
    title = "Added latency by percentile, one request at a time"
    return [*found, Lines(title, "percentile", "ms", curves)] if curves else found


_OWN: Mapping[str, Callable[[Rows], list[Figure]]] = {
    "throughput": _throughput,
    "profile": partial(_bars_of, "Where a request's time goes in the router", "µs", "us", 1.0),
    "history": partial(
        _bars_of, "Cost over history: added latency, p50", "ms", "added_p50_s", 1000.0
    ),
    "peers": _peers,
}

# Drawing ------------------------------------------------------------------------------------------


def save(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """One PNG file per figure; the files.

    Raises:
        NoPictures: there is nothing to draw with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{slug(figure.title)}.png": figure for figure in figures}
    for path, figure in paths.items():
        draw(figure, path, dpi=160, title=figure.title)
    return list(paths)


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def draw(figure: Figure, file: Any, *, title: str = "", **options: Any) -> Any:
    """Draw it into a file; what matplotlib has made of it.

    Args:
        title: is drawn above the picture.
        options: of matplotlib's `savefig`.

    Raises:
        NoPictures: there is nothing to draw with.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Drawing
    except ImportError:
        raise NoPictures("pictures need matplotlib (requirements-dev.txt)") from None
    height = 3.0 if isinstance(figure, Lines) else 0.8 + 0.42 * len(figure.bars)
    with rc_context({**_LOOK, "svg.hashsalt": figure.title}):
        made = Drawing(figsize=(5.2, height), layout="constrained")
        axes = made.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        if isinstance(figure, Lines):
            _lines(figure, axes)
        else:
            _bars(figure, axes)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _position: short(value))
        made.suptitle(title, x=0.01, ha="left", fontsize=9, wrap=True)
        made.savefig(file, **options)
    return made


def _bars(figure: Bars, axes: Any) -> None:
    """Each with its name above it."""
    ends = [value for bar in figure.bars for value in (bar.value, *(bar.reach or ()))]
    log = is_wide(ends) and not figure.parts
    axes.set_xscale("log" if log else "linear")
    axes.grid(axis="x", color=_LINE, linewidth=0.5)
    for i, bar in enumerate(figure.bars):
        if bar.reach:
            axes.plot(bar.reach, [i, i], color="black", linewidth=1)
        ours = bar.name.startswith("ai-router")
        axes.barh(i, bar.value, height=0.3, color=_OURS if ours else _BAR)
        end = max(bar.value, *(bar.reach or (bar.value,)))
        offset = {"textcoords": "offset points", "annotation_clip": False}
        above = ("axes fraction", "data")
        name = bar.name if len(bar.name) <= 62 else f"{bar.name[:61]}…"
        axes.annotate(name, (0, i), (0, 7), xycoords=above, va="bottom", **offset)
        axes.annotate(short(bar.value), (end, i), (4, 0), va="center", **offset)
    axes.set_yticks([])
    axes.set_ylim(len(figure.bars) - 0.6, -0.9)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.5 if log else high + (high - low) * 0.15)
    axes.set_xlabel(figure.unit)


def _lines(figure: Lines, axes: Any) -> None:
    for (name, points), colour in zip(figure.series.items(), _SERIES * 9, strict=False):
        xs, ys = zip(*sorted(points), strict=True)
        axes.plot(xs, ys, color=colour, marker="." if len(xs) < 8 else "", label=name)
    axes.grid(axis="y", color=_LINE, linewidth=0.5)
    axes.legend(frameon=False)
    if is_wide([y for points in figure.series.values() for _, y in points]):
        axes.set_yscale("log")
    if figure.log_x:
        axes.set_xscale("log", base=2)
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)


def is_wide(values: Sequence[float]) -> bool:
    """Whether only a logarithmic scale shows them all."""
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)


def short(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
