"""The report on the objectives for a terminal, as Markdown and as an HTML page."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airouter.domain.types import immutable
from airouter.slo.objectives import PRIORITY
from airouter.slo.replay import Fired
from airouter.slo.report import TIMES, BackendLine, ObjectiveLine, Report, RouteLine

_NONE = "–"
_STYLES = {"kept": "green", "breached": "bold red", "firing": "bold red"}
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")
_WIDTH = 160  # columns, where the output is not a terminal
_TEXTS = frozenset({"objective", "alert", "route", "backend", "outcomes", "profile", "severity"})


@immutable
class _Section:
    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    empty: str  # what is said instead of a table without rows
    note: str = ""


def terminal(report: Report, console: Console) -> str:
    """The text for a console, with its colours if it has any."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    with console.capture() as captured:
        console.print(Text(_title(report), style="bold"))
        for section in _sections(report):
            console.print()
            console.print(Text(section.title, style="bold"))
            if section.rows:
                console.print(_table(section))
            for line in _below(section):
                console.print(Text(line, style="dim"))
    return captured.get()


def _table(section: _Section) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in section.header:
        table.add_column(Text(name), justify="left" if name in _TEXTS else "right")
    for row in section.rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


def markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown."""
    lines = [f"# {_markdown(_title(report))}"]
    for section in _sections(report):
        lines += ["", f"## {section.title}", ""]
        if section.rows:
            aligned = (":--" if name in _TEXTS else "--:" for name in section.header)
            lines += [_markdown_row(section.header), f"| {' | '.join(aligned)} |"]
            lines += [_markdown_row(row) for row in section.rows]
        for line in _below(section):
            lines += ["", _markdown(line)] if section.rows else [_markdown(line)]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_markdown, cells))} |"


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", escape(text, quote=False))


def html(report: Report) -> str:
    """The report as one page that loads nothing else."""
    parts = [_HEAD.format(title=escape(_title(report)))]
    for section in _sections(report):
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if section.rows:
            parts += ["<div><table><thead>", _html_row(section, section.header, "th")]
            parts.append("</thead><tbody>")
            parts += [_html_row(section, row, "td") for row in section.rows]
            parts.append("</tbody></table></div>")
        parts += [f"<p>{escape(line)}</p>" for line in _below(section)]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _html_row(section: _Section, cells: Sequence[str], tag: str) -> str:
    made = []
    for name, cell in zip(section.header, cells, strict=True):
        classes = [*(["text"] if name in _TEXTS else []), *([cell] if cell in _STYLES else [])]
        shown = f' class="{" ".join(classes)}"' if classes else ""
        made.append(f"<{tag}{shown}>{escape(cell)}</{tag}>")
    return f"<tr>{''.join(made)}</tr>"


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --bad: #b00020; --good: #1b6e2e; --line: #8884; }}
@media (prefers-color-scheme: dark) {{ :root {{ --bad: #ff8a80; --good: #7bd88f; }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto;
  padding: 0 1rem; background: Canvas; color: CanvasText; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; vertical-align: top; }}
.text {{ text-align: left; }}
.breached, .firing {{ color: var(--bad); font-weight: bold; }} .kept {{ color: var(--good); }}
</style></head><body>
<h1>{title}</h1>"""


# What all three show --------------------------------------------------------------------------


def _title(report: Report) -> str:
    start, end = (f"{at:%Y-%m-%d %H:%M}" for at in (report.start, report.end))
    return f"Service levels from {start} to {end} {report.end:%Z}".rstrip()


def _below(section: _Section) -> Iterator[str]:
    if not section.rows:
        yield section.empty
    elif section.note:
        yield section.note


def _sections(report: Report) -> Iterator[_Section]:
    yield _Section(
        "Objectives",
        (
            *("objective", "profile", "target", "events", "good", "budget left", "worst day"),
            *("burn rate now", "verdict"),
        ),
        [_objective(line) for line in report.objectives],
        "No objectives.",
        "The burn rate is that of the last hour; at 1, the budget lasts exactly 30 days.",
    )
    yield _Section(
        "Alerts that fired",
        ("alert", "severity", "objective", "times", "minutes in all", "last time", "state"),
        [_alert(alert, report) for alert in report.alerts],
        "None.",
    )
    tests = f" Without {_count(report.tests)} requests of tests." if report.tests else ""
    yield _Section(
        "Routes",
        ("route", "requests", "outcomes", *(f"{_time(name)} p50 / p95 / p99" for name in TIMES)),
        [_route(line) for line in report.routes],
        f"No requests.{tests}",
        "Times in ms, of answered requests: in all, to the first content, and the router's own "
        f"part.{tests}",
    )
    yield _Section(
        "Backends",
        ("backend", "requests", "failovers", "tokens in", "tokens out", "availability"),
        [_backend(line) for line in report.backends],
        "No requests.",
        "By the backend that was asked last. Failovers: answered, but not at the first attempt. "
        "Availability: of the probes that an objective counts.",
    )


def _objective(line: ObjectiveLine) -> tuple[str, ...]:
    one, worst = line.objective, line.worst
    return (
        _clean(one.name),
        _clean(one.profile),
        _share(one.target),
        _count(line.good + line.bad),
        _share(line.share),
        _NONE if line.budget_left is None else f"{100 * line.budget_left:.0f} %",
        _NONE if worst is None else f"{worst[0]:%Y-%m-%d}: {_share(worst[1])}",
        _NONE if line.burn is None else f"{line.burn:.1f}",
        line.verdict,
    )


def _alert(alert: Fired, report: Report) -> tuple[str, ...]:
    last = report.end.fromtimestamp(alert.last, report.end.tzinfo)
    return (
        _clean(alert.name),
        f"{alert.severity} ({PRIORITY[alert.severity]})",
        _clean(alert.slo),
        _count(alert.times),
        _count(round(alert.seconds / 60)),
        f"{last:%Y-%m-%d %H:%M}",
        "firing" if alert.still else "over",
    )


def _route(line: RouteLine) -> tuple[str, ...]:
    outcomes = ", ".join(f"{_clean(name)} {_count(n)}" for name, n in line.reasons.items())
    times = (line.ms[name] for name in TIMES)
    shown = (_NONE if ms is None else " / ".join(map(_ms, ms)) for ms in times)
    return _clean(line.route), _count(line.requests), outcomes, *shown


def _backend(line: BackendLine) -> tuple[str, ...]:
    return (
        _clean(line.backend),
        *map(_count, (line.requests, line.failovers, line.tokens_in, line.tokens_out)),
        _share(line.availability),
    )


def _time(name: str) -> str:
    return {"total_ms": "total", "ttft_ms": "first content", "own_ms": "own part"}[name]


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def _count(number: int) -> str:
    return f"{number:,}"


def _share(share: float | None) -> str:
    """With two digits, rounded down: 99.996 % is not 100 %."""
    return _NONE if share is None else f"{int(share * 10_000 + 1e-6) / 100:.2f} %"


def _clean(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
