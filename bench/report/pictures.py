"""The pictures, drawn by matplotlib: as SVG for the page, whose style sheet colours them, and as
PNG files.

They are narrow, so that a telephone shows them at nearly their own size; what is long in a page
(titles, what
the marks mean, a curve's name) is HTML around them, which wraps and is never cut.
"""

import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.report.figures import Bars, Figure, Lines, Span, Spans

WIDTH, ROW, FOOT = 4.8, 0.42, 0.4  # inches
_WIDE = 40.0  # beyond this ratio of the largest to the smallest a scale is logarithmic
_INK, _DIM, _GRID, _BAR, _OURS = "#1e293b", "#64748b", "#cbd5e1", "#475569", "#c2410c"
_SERIES = (_OURS, "#2563eb", "#15803d", "#7e22ce", "#b45309", "#0f766e")
# What the page's style sheet calls these colours: it has others where it is dark.
_NAMES = {_INK: "ink", _DIM: "dim", _GRID: "line", _BAR: "bar"}
_NAMES |= {colour: f"c{i}" for i, colour in enumerate(_SERIES)}
# What the page needs nothing of: all before the picture, addresses of its dialect, its fixed size.
_CUTS = re.compile(
    r'^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->| xmlns(:xlink)?="[^"]*"| clip-path="[^"]*"'
    r'| (width|height)="[\d.]+pt"',
    re.DOTALL,
)
_LOOK: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _DIM,
    "xtick.color": _DIM,
    "ytick.color": _DIM,
}


class NoPictures(Exception):
    """matplotlib is not installed."""


def draw(figure: Figure, heading: str = "") -> str:
    """The figure as HTML. Its title is left out where it is the heading under which it stands."""
    title = "" if figure.title == heading else f"<figcaption>{escape(figure.title)}</figcaption>"
    file = io.StringIO()
    try:
        drawing(figure, file, format="svg", transparent=True)
    except NoPictures as why:
        return f'<figure>{title}<p class="note">{escape(str(why))}</p></figure>'
    picture = _CUTS.sub("", file.getvalue())
    picture = re.sub(r'<g id="([a-z]+)[^"]*"', r'<g class="\1"', picture)
    for colour, name in _NAMES.items():
        picture = picture.replace(colour, f"var(--{name})")
    said = f'<svg class="figure" role="img" aria-label="{escape(figure.title, quote=True)}"'
    picture = picture.replace("xlink:href", "href").replace("<svg", said, 1)
    return f'<figure>{title}\n{picture}<p class="note">{_legend(figure)}</p></figure>'


def save(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """One PNG file per figure; the files.

    Raises:
        NoPictures: there is nothing to draw with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{slug(figure.title)}.png" for figure in figures]
    for figure, path in zip(figures, paths, strict=True):
        drawing(figure, path, titled=True, dpi=150)
    return paths


def slug(title: str) -> str:
    """A file name for a figure."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80] or "figure"


def short(value: float) -> str:
    """A number as it is written in a picture."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if abs(value) < 100 else 0
    text = f"{value:,.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_wide(values: Sequence[float]) -> bool:
    """Whether only a logarithmic scale shows them all."""
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)


def drawing(figure: Figure, file: Any, *, titled: bool = False, **options: Any) -> Any:
    """Draw it into a file; what matplotlib has made of it.

    Raises:
        NoPictures: there is nothing to draw with.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Drawing
    except ImportError:
        raise NoPictures("pictures need matplotlib (requirements-dev.txt)") from None
    rows = [] if isinstance(figure, Lines) else list(_rows(figure))
    with rc_context({**_LOOK, "svg.hashsalt": figure.title}):
        height = 3.0 if isinstance(figure, Lines) else FOOT + ROW * len(rows)
        made = Drawing(figsize=(WIDTH, height + 0.3 * titled), layout="constrained")
        axes = made.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        if isinstance(figure, Lines):
            _lines(figure, axes)
            if titled:
                axes.legend(frameon=False)
        else:
            _horizontal(rows, axes, log=_logarithmic(figure))
            axes.set_xlabel(figure.unit if titled else "")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _position: short(value))
        if titled:
            made.suptitle(figure.title, x=0.01, ha="left", fontsize=9)
        made.savefig(file, **options)
    return made


def _rows(figure: Bars | Spans) -> list[Span]:
    """A bar is a span from nothing to its value."""
    if isinstance(figure, Spans):
        return list(figure.spans)
    return [Span(name, 0.0, value, value, value) for name, value in figure.bars]


def _logarithmic(figure: Bars | Spans) -> bool:
    rows = _rows(figure)
    if isinstance(figure, Bars):
        return is_wide([row.p50 for row in rows]) and not figure.parts
    ends = [value for row in rows for value in (row.smallest, row.p99, *(row.reference or ()))]
    return is_wide(ends)


def _horizontal(rows: list[Span], axes: Any, *, log: bool, ours: str = "ai-router") -> None:
    """Each row with its name above it: a bar from nothing to a value, or a distribution."""
    axes.set_xscale("log" if log else "linear")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=_GRID, linewidth=0.5)
    for i, row in enumerate(rows):
        bar = row.p50 == row.p99 and row.smallest == 0
        if row.reference:
            low, high = row.reference
            (box,) = axes.barh(i, high - low, left=low, height=0.4, fill=False, edgecolor=_OURS)
            box.set_gid("reference")
        if not bar:
            axes.plot([row.smallest, row.p99], [i, i], color=_BAR, linewidth=1)
        start, colour = 0.0 if bar else row.p50, _OURS if row.name.startswith(ours) else _BAR
        least = 0.0 if bar else row.p50 * 0.02
        axes.barh(i, max(row.p95 - start, least), left=start, height=0.3, color=colour)
        name = f"{row.name} *" if row.few else row.name
        place = {"textcoords": "offset points", "xycoords": ("axes fraction", "data")}
        axes.annotate(_cut(name), (0, i), (0, 5), va="bottom", annotation_clip=False, **place)
        axes.annotate(short(row.p50), (row.p99, i), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.6, -0.9)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.5 if log else high + (high - low) * 0.15)


def _lines(figure: Lines, axes: Any) -> None:
    for (name, points), colour in zip(figure.series.items(), _SERIES * 9, strict=False):
        xs, ys = zip(*sorted(points), strict=True)
        axes.plot(xs, ys, color=colour, marker="." if len(xs) < 8 else "", label=name)
    axes.grid(axis="y", color=_GRID, linewidth=0.5)
    if is_wide([y for points in figure.series.values() for _, y in points]):
        axes.set_yscale("log")
    if figure.log_x:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)


def _cut(name: str, most: int = 62) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _legend(figure: Figure) -> str:
    """What the marks mean, for the page."""
    if isinstance(figure, Lines):
        return " ".join(
            f'<span class="key n{i % 6}">{escape(name)}</span>'
            for i, name in enumerate(figure.series)
        )
    unit = f"{figure.unit}, logarithmic" if _logarithmic(figure) else figure.unit
    if isinstance(figure, Bars):
        return escape(unit)
    marks = {
        "thin from the smallest to p99, thick from p50 to p95": not all(
            span.few for span in figure.spans
        ),
        "* few samples: from the smallest to the largest, and the median": any(
            span.few for span in figure.spans
        ),
        "outlined: reference": any(span.reference for span in figure.spans),
        "the number is the median": True,
    }
    return escape(f"{unit}: {'; '.join(mark for mark, shown in marks.items() if shown)}")
