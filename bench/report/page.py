"""The page: style sheet, pictures and tables in one file, which asks nobody for anything."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bench.report.before import Change
from bench.report.figures import base_title, figures_of
from bench.report.pictures import draw, short
from bench.report.verdict import VERDICTS, verdict, without_few
from bench.stats import FEW

_STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --dim: #64748b; --line: #cbd5e1; --paper: #fff;
  --bar: #475569; --ours: #c2410c; --good: #15803d; --bad: #b91c1c;
  --c0: #c2410c; --c1: #2563eb; --c2: #15803d; --c3: #7e22ce; --c4: #b45309; --c5: #0f766e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --dim: #94a3b8; --line: #334155;
  --paper: #0f172a; --bar: #94a3b8; --ours: #fb923c; --good: #4ade80; --bad: #f87171;
  --c0: #fb923c; --c1: #60a5fa; --c2: #4ade80; --c3: #c084fc; --c4: #fbbf24; --c5: #2dd4bf; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 62rem; font: 15px/1.5 system-ui, sans-serif; }
body { color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { margin-bottom: .3rem; } nav ul { columns: 14rem; padding-left: 1.2rem; } a { color: inherit; }
.wide { overflow-x: auto; } pre { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
table { margin: .5rem 0; overflow-wrap: normal; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
th, td { text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; min-width: 8rem; }
.note { color: var(--dim); margin: .1rem 0; font-size: 13px; }
.broken, .NO { color: var(--bad); font-weight: 600; } .yes, .stretch { color: var(--good); }
.verdict { font-size: 1.15rem; font-weight: 600; margin: .5rem 0; }
.figures { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
figure { margin: .8rem 0 1.4rem; max-width: 480px; } figcaption { font-weight: 600; }
.figure { width: 100%; display: block; } .key { margin-right: 1rem; font-weight: 600; }
""" + "".join(f".n{i} {{ color: var(--c{i}); }}\n" for i in range(6))

HEADINGS = {  # in their order
    "peers": "Beside other gateways",
    "routing": "Routes and models",
    "overhead": "What the router adds",
    "throughput": "Throughput",
    "streams": "Many streams at once",
    "profile": "Where the time goes",
    "history": "A history that grows",
    "failover": "A tier that dies",
    "faults": "Faults of a backend",
    "scorecard": "Sixteen faults, default limits",
    "operations": "Reload and stop",
    "overload": "More than it can serve",
}
Document = Mapping[str, Any]


def page(runs: Sequence[tuple[str, Document]], compared: Sequence[Change]) -> str:
    """The latest result of each benchmark; `runs`: (file name, document), the latest last."""
    latest: dict[str, Sequence[Mapping[str, Any]]] = {}
    for _, document in runs:
        latest |= by_benchmark(document)
    order = [name for name in HEADINGS if name in latest]
    shown = {name: latest[name] for name in (*order, *(set(latest) - set(order)))}
    sections = [
        (name, HEADINGS.get(name, name), "\n".join(_table(table, name) for table in tables))
        for name, tables in shown.items()
    ]
    if compared:
        sections.append(("before", "Before and now", _changes(compared)))
    environments = "\n".join(_environment(name, document) for name, document in runs)
    sections.append(("environment", "Environment and commands", environments))
    parts = [_head(runs), verdict(shown), _contents(sections)]
    for name, heading, text in sections:
        parts.append(f'<h2 id="{escape(name)}">{escape(heading)}</h2>\n{text}')
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ai-router: benchmark</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def by_benchmark(document: Document) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in document.get("results", ()):
        found.setdefault(str(table.get("benchmark", "")), []).append(table)
    return found


def _head(runs: Sequence[tuple[str, Document]]) -> str:
    about = runs[-1][1].get("environment", {}) if runs else {}
    facts = [str(about.get(name, "")) for name in ("date", "cpu", "gpu")]
    facts.insert(2, f"{about.get('cores', '?')} cores")
    interrupted = any(not document.get("complete", True) for _, document in runs)
    quick = any(document.get("environment", {}).get("quick") for _, document in runs)
    said = {
        "A run was interrupted: its tables hold what was measured until then.": interrupted,
        "A quick run is among these: it shows that it works, not how well.": quick,
    }
    warnings = "".join(f'<p class="broken">{text}</p>' for text, true in said.items() if true)
    return f'<h1>ai-router: benchmark</h1><p class="note">{escape(" · ".join(fact for fact in facts if fact))}</p>{warnings}'


def _contents(sections: Sequence[tuple[str, str, str]]) -> str:
    items = "".join(
        f'<li><a href="#{escape(name)}">{escape(heading)}</a></li>' for name, heading, _ in sections
    )
    return f'<nav aria-label="Contents"><h2>Contents</h2><ul>{items}</ul></nav>'


def _table(table: Mapping[str, Any], benchmark: str) -> str:
    title = base_title(table)
    # What the section is called need not be said again.
    doubled = title.casefold() == HEADINGS.get(benchmark, benchmark).casefold()
    parts = [] if doubled else [f"<h3>{escape(str(table.get('title', '')))}</h3>"]
    figures = [draw(figure, title) for figure in figures_of(table)]
    parts += ['<div class="figures">', *figures, "</div>"] if figures else []
    if table.get("cells"):
        cells, left_out = without_few(table)
        parts.append(_grid([str(column) for column in table.get("columns", ())], cells))
        if left_out:
            parts.append(
                f'<p class="note">No p95 and p99 where there are fewer than {FEW} samples.</p>'
            )
    parts += [f'<p class="note">{escape(str(note))}</p>' for note in table.get("notes", ())]
    parts += [
        f'<p class="broken">Not kept: {escape(str(promise))}</p>'
        for promise in table.get("broken", ())
    ]
    return "\n".join(parts)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = ["".join(f"<td{_kind(cell)}>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _kind(cell: Any) -> str:
    return f' class="{cell}"' if cell in VERDICTS else ""


def _changes(compared: Sequence[Change]) -> str:
    rows = []
    for change in compared:
        percent = "–" if change.percent is None else f"{change.percent:+.1f} %"
        rows.append((change.what, short(change.before), short(change.now), percent))
    return _grid(("", "before", "now", "change"), rows)


def _environment(name: str, document: Document) -> str:
    about = document.get("environment", {})
    shown = {key: value for key, value in about.items() if key not in ("command", "commands")}
    rows = [
        (
            key,
            ", ".join(f"{k} {v}" for k, v in value.items())
            if isinstance(value, Mapping)
            else value,
        )
        for key, value in shown.items()
    ]
    command = about.get("command") or "\n".join(
        f"./Benchmark {one}" for one in about.get("commands", ())
    )
    return f"<h3>{escape(name)}</h3>{_grid(('', ''), rows)}<pre>{escape(str(command))}</pre>"
