"""Figures as SVG for a page: no script, no font, no address; colours come from the page's style sheet.

They are narrow, so that a telephone shows them at nearly their own size; what is long (titles, what
the marks mean, a curve's name) is HTML around them, which wraps and is never cut.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.report.figures import Bars, Figure, Lines, Span, Spans

WIDTH, LEFT, RIGHT = 480, 8, 64
ROW, HEAD, FOOT = 42, 8, 24
_WIDE = 40.0  # beyond this ratio of the largest to the smallest a scale is logarithmic


def draw(figure: Figure, heading: str = "") -> str:
    """The figure as HTML. Its title is left out where it is the heading under which it stands."""
    kinds = {Bars: _bars, Spans: _spans, Lines: _lines}
    picture, notes = kinds[type(figure)](figure)  # type: ignore[operator]
    title = "" if figure.title == heading else f"<figcaption>{escape(figure.title)}</figcaption>"
    below = "".join(f'<p class="note">{note}</p>' for note in notes)
    return f"<figure>{title}\n{picture}\n{below}</figure>"


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


def _frame(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg class="figure" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(title, quote=True)}">'
    )
    return "\n".join([head, *parts, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _grid(at: Callable[[float], float], values: Sequence[float], bottom: float) -> list[str]:
    parts = []
    for tick in values:
        parts += [
            _line(at(tick), HEAD, at(tick), bottom, "grid"),
            _text(at(tick), bottom + 16, short(tick), "middle", "tick"),
        ]
    return parts


def _cut(name: str, most: int = 62) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


Drawn = tuple[str, list[str]]  # the picture, and notes below it


def _bars(figure: Bars) -> Drawn:
    values = [value for _, value in figure.bars]
    log = is_wide(values) and not figure.parts
    low = min(values) / 2 if log else min(0.0, *values)
    at = _scale(low, (max(values) or 1.0) * (1.6 if log else 1.02), LEFT, WIDTH - RIGHT, log)
    bottom = HEAD + ROW * len(values)
    parts = _grid(at, ticks(low, max(values) or 1.0, log), bottom)
    zero = at(low) if log else at(0.0)
    for i, (name, value) in enumerate(figure.bars):
        y, left, right = HEAD + ROW * i, min(zero, at(value)), max(zero, at(value))
        kind = "bar ours" if figure.ours and name.startswith(figure.ours) else "bar"
        parts += [
            _text(LEFT, y + 14, _cut(name)),
            f'<rect class="{kind}" x="{left:.1f}" y="{y + 20}" '
            f'width="{max(1.0, right - left):.1f}" height="14"/>',
            _text(right + 6, y + 32, short(value), kind="value"),
        ]
    return _frame(figure.title, bottom + FOOT, parts), [_unit(figure.unit, log)]


def _unit(unit: str, log: bool) -> str:
    return escape(f"{unit}, logarithmic" if log else unit)


def _spans(figure: Spans) -> Drawn:
    ends = [
        value
        for span in figure.spans
        for value in (span.smallest, span.p99, *(span.reference or ()))
    ]
    log = is_wide(ends)
    low, high = (min(ends) / 1.2 if log else 0.0), (max(ends) or 1.0) * 1.05
    at = _scale(low, high, LEFT, WIDTH - RIGHT, log)
    bottom = HEAD + ROW * len(figure.spans)
    few = any(span.few for span in figure.spans)
    notes = [_unit(figure.unit, log) + ": " + _legend(figure.spans)]
    parts = _grid(at, ticks(low, high, log), bottom)
    for i, span in enumerate(figure.spans):
        y = HEAD + ROW * i + 27.0
        if span.reference:
            left, right = at(span.reference[0]), at(span.reference[1])
            parts.append(
                f'<rect class="reference" x="{left:.1f}" y="{y - 8:.1f}" '
                f'width="{max(3.0, right - left):.1f}" height="16"/>'
            )
        parts.append(_line(at(span.smallest), y, at(span.p99), y, "thin"))
        width = max(3.0, at(span.p95) - at(span.p50))
        parts += [
            f'<rect class="bar" x="{at(span.p50):.1f}" y="{y - 5:.1f}" '
            f'width="{width:.1f}" height="10"/>',
            _text(LEFT, y - 13, _cut(span.name + (" *" if span.few and few else ""))),
            _text(at(span.p99) + 6, y + 4, short(span.p50), kind="value"),
        ]
    return _frame(figure.title, bottom + FOOT, parts), notes


def _legend(spans: Sequence[Span]) -> str:
    """What the marks of these spans mean."""
    words = []
    if not all(span.few for span in spans):
        words.append("thin from the smallest to p99, thick from p50 to p95")
    if any(span.few for span in spans):
        words.append("* few samples: from the smallest to the largest, and the median")
    if any(span.reference for span in spans):
        words.append("outlined: reference")
    return "; ".join([*words, "the number is the median"])


def _lines(figure: Lines) -> Drawn:
    points = [point for series in figure.series.values() for point in series]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    log = is_wide(ys)
    top, bottom, left, right = HEAD + 22.0, 280.0, 56.0, WIDTH - 24.0
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
    y_label = f"{figure.y_label}{', logarithmic' if log else ''}"
    parts.append(_text(LEFT, HEAD + 8, y_label, kind="tick"))
    keys = []
    for number, name in enumerate(figure.series):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in sorted(figure.series[name]))
        parts.append(f'<polyline class="series s{number % 6}" points="{path}"/>')
        keys.append(f'<span class="key n{number % 6}">{escape(name)}</span>')
    return _frame(figure.title, bottom + 44, parts), [" ".join(keys)]
