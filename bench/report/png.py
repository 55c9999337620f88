"""The same figures as PNG files, by matplotlib, for documents that cannot hold SVG."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report.figures import Bars, Figure, Lines, Spans
from bench.report.svg import is_wide, short

_OURS, _OTHER, _REFERENCE = "#c2410c", "#475569", "#94a3b8"


class NoPictures(Exception):
    """matplotlib is not installed."""


def slug(title: str) -> str:
    """A file name for a figure."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80] or "figure"


def save(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """One file per figure; the files.

    Raises:
        NoPictures: there is nothing to draw with.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise NoPictures("PNG files need matplotlib (requirements-dev.txt)") from None
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for figure in figures:
        tall = (
            4.2
            if isinstance(figure, Lines)
            else 0.9 + 0.34 * len(figure.bars if isinstance(figure, Bars) else figure.spans)
        )
        drawing, axes = pyplot.subplots(figsize=(8.5, tall), layout="constrained")
        try:
            _draw(figure, axes)
            axes.set_title(figure.title, loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            path = folder / f"{slug(figure.title)}.png"
            drawing.savefig(path, dpi=110, metadata={"Software": None})
        finally:
            pyplot.close(drawing)
        paths.append(path)
    return paths


def _draw(figure: Figure, axes: Any) -> None:
    if isinstance(figure, Lines):
        for name, points in figure.series.items():
            xs, ys = zip(*sorted(points), strict=True)
            axes.plot(xs, ys, marker="." if len(xs) < 8 else "", label=name)
        if is_wide([y for points in figure.series.values() for _, y in points]):
            axes.set_yscale("log")
        if figure.log_x:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda x, _position: short(x))
        axes.set_xlabel(figure.x_label)
        axes.set_ylabel(figure.y_label)
        axes.legend(frameon=False, fontsize=8)
        return
    axes.invert_yaxis()
    axes.set_xlabel(figure.unit)
    if isinstance(figure, Bars):
        names, values = zip(*figure.bars, strict=True)
        colours = [
            _OURS if figure.ours and name.startswith(figure.ours) else _OTHER for name in names
        ]
        axes.bar_label(
            axes.barh(names, values, color=colours),
            labels=[short(value) for value in values],
            padding=3,
            fontsize=8,
        )
        if is_wide(values) and not figure.parts:
            axes.set_xscale("log")
        return
    _draw_spans(figure, axes)


def _draw_spans(figure: Spans, axes: Any) -> None:
    for i, span in enumerate(figure.spans):
        if span.reference:
            axes.barh(
                i,
                span.reference[1] - span.reference[0],
                left=span.reference[0],
                height=0.8,
                fill=False,
                edgecolor=_REFERENCE,
            )
        axes.plot([span.smallest, span.p99], [i, i], color=_OTHER, linewidth=1)
        axes.barh(i, span.p95 - span.p50, left=span.p50, height=0.4, color=_OTHER)
        axes.plot([span.p50], [i], "|", color=_OURS, markersize=10)
    axes.set_yticks(range(len(figure.spans)), [span.name for span in figure.spans], fontsize=8)
    if is_wide(
        [
            value
            for span in figure.spans
            for value in (span.smallest, span.p99, *(span.reference or ()))
        ]
    ):
        axes.set_xscale("log")
