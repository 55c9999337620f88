"""Figures as SVG for a page: no script, no font, no address; colours come from the page's style sheet."""

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.report.figures import Bars, Figure, Lines, Spans

WIDTH, LEFT, RIGHT = 760, 250, 70
ROW, HEAD, FOOT = 26, 34, 40
_WIDE = 40.0  # beyond this ratio of the largest to the smallest a scale is logarithmic


def draw(figure: Figure) -> str:
    if isinstance(figure, Bars):
        return _bars(figure)
    if isinstance(figure, Spans):
        return _spans(figure)
    return _lines(figure)


def short(value: float) -> str:
    """A number as it is written in a picture."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if abs(value) < 100 else 0
    text = f"{value:,.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_wide(values: Sequence[float]) -> bool:
    """Whether only a logarithmic scale shows them all."""
    positive = [value for value in values if value > 0]
    return len(positive) == len(values) and bool(values) and max(positive) > _WIDE * min(positive)


def ticks(low: float, high: float, log: bool) -> list[float]:
    """A handful of round numbers from `low` to `high`."""
    if log:
        found = [
            10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ]
        return [tick for tick in found if low <= tick <= high] or [low, high]
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-12)))
    for part in (0.2, 0.5, 1.0, 2.0):
        if (high - low) / (step * part) <= 6:
            step *= part
            break
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _scale(
    low: float, high: float, start: float, end: float, log: bool
) -> Callable[[float], float]:
    if log:
        low, high = math.log10(low), math.log10(high)
    width = high - low or 1.0
    return lambda value: (
        start + (end - start) * ((math.log10(value) if log else value) - low) / width
    )


def _frame(title: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg class="figure" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
    return "\n".join(
        [head, f'<text class="title" x="8" y="20">{escape(title)}</text>', *parts, "</svg>"]
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _grid(
    at: Callable[[float], float], values: Sequence[float], bottom: float, unit: str
) -> list[str]:
    parts = []
    for tick in values:
        parts += [
            _line(at(tick), HEAD, at(tick), bottom, "grid"),
            _text(at(tick), bottom + 16, short(tick), "middle", "tick"),
        ]
    return [*parts, _text(WIDTH - 8, bottom + 32, unit, "end", "tick")]


def _cut(name: str, most: int = 38) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _bars(figure: Bars) -> str:
    values = [value for _, value in figure.bars]
    log = is_wide(values) and not figure.parts
    low = min(values) / 2 if log else min(0.0, *values)
    at = _scale(low, (max(values) or 1.0) * (1.6 if log else 1.02), LEFT, WIDTH - RIGHT, log)
    bottom = HEAD + ROW * len(values)
    parts = _grid(
        at,
        ticks(low, max(values) or 1.0, log),
        bottom,
        f"{figure.unit}{', logarithmic' if log else ''}",
    )
    zero = at(low) if log else at(0.0)
    for i, (name, value) in enumerate(figure.bars):
        y, left, right = HEAD + ROW * i, min(zero, at(value)), max(zero, at(value))
        kind = "bar ours" if figure.ours and name.startswith(figure.ours) else "bar"
        parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{y + 5}" width="{max(1.0, right - left):.1f}" height="{ROW - 10}"/>'
        )
        parts += [
            _text(LEFT - 8, y + 17, _cut(name), "end"),
            _text(right + 6, y + 17, short(value), kind="value"),
        ]
    return _frame(figure.title, bottom + FOOT, parts)


def _spans(figure: Spans) -> str:
    ends = [
        value
        for span in figure.spans
        for value in (span.smallest, span.p99, *(span.reference or ()))
    ]
    log = is_wide(ends)
    low, high = (min(ends) / 1.2 if log else 0.0), (max(ends) or 1.0) * 1.05
    at = _scale(low, high, LEFT, WIDTH - RIGHT, log)
    bottom = HEAD + ROW * len(figure.spans)
    unit = f"{figure.unit}{', logarithmic' if log else ''}: thin from the smallest to p99, thick from p50 to p95"
    if any(span.reference for span in figure.spans):
        unit += "; outlined: reference"
    parts = _grid(at, ticks(low, high, log), bottom, unit)
    for i, span in enumerate(figure.spans):
        y = HEAD + ROW * i + ROW / 2
        if span.reference:
            left, right = at(span.reference[0]), at(span.reference[1])
            parts.append(
                f'<rect class="reference" x="{left:.1f}" y="{y - 10:.1f}" width="{max(3.0, right - left):.1f}" height="20"/>'
            )
        parts.append(_line(at(span.smallest), y, at(span.p99), y, "thin"))
        width = max(2.0, at(span.p95) - at(span.p50))
        parts.append(
            f'<rect class="bar" x="{at(span.p50):.1f}" y="{y - 5:.1f}" width="{width:.1f}" height="10"/>'
        )
        parts += [
            _text(LEFT - 8, y + 4, _cut(span.name), "end"),
            _text(at(span.p99) + 6, y + 4, short(span.p50), kind="value"),
        ]
    return _frame(figure.title, bottom + FOOT, parts)


def _lines(figure: Lines) -> str:
    points = [point for series in figure.series.values() for point in series]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    log = is_wide(ys)
    top, bottom, left, right = HEAD + 14.0, 300.0, 70.0, WIDTH - 150.0
    low = min(ys) / 1.3 if log else min(0.0, *ys)
    high = max(ys) * (1.3 if log else 1.05) or 1.0
    log_x = figure.log_x and min(xs) > 0
    x_at, y_at = _scale(min(xs), max(xs), left, right, log_x), _scale(low, high, bottom, top, log)
    parts = []
    for tick in ticks(low, high, log):
        parts += [
            _line(left, y_at(tick), right, y_at(tick), "grid"),
            _text(left - 6, y_at(tick) + 4, short(tick), "end", "tick"),
        ]
    for x in sorted(set(xs)) if len(set(xs)) <= 8 else ticks(min(xs), max(xs), False):
        parts.append(_text(x_at(x), bottom + 16, short(x), "middle", "tick"))
    parts.append(_text((left + right) / 2, bottom + 34, figure.x_label, "middle", "tick"))
    parts.append(
        _text(left, top - 4, f"{figure.y_label}{', logarithmic' if log else ''}", kind="tick")
    )
    names = sorted(figure.series, key=lambda name: y_at(figure.series[name][-1][1]))
    at_y = top
    for number, name in enumerate(figure.series):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in sorted(figure.series[name]))
        parts.append(f'<polyline class="series s{number % 6}" points="{path}"/>')
    for name in names:  # beside the lines' ends, none upon another
        at_y = max(at_y + 15, y_at(sorted(figure.series[name])[-1][1]) + 4)
        parts.append(
            _text(
                right + 8, at_y, _cut(name, 20), kind=f"name n{list(figure.series).index(name) % 6}"
            )
        )
    return _frame(figure.title, 345, parts)
