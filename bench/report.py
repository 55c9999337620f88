"""`./Benchmark report`: results as one page with pictures, as PNG files and as Markdown.

Results are kept as `logs/bench/<stamp>-<benchmark>.json`, with the page beside them.
"""

import argparse
import base64
import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.options import Options
from bench.pictures import Bars, Figure, NoPictures, base_title, draw, figures_of, save
from bench.router_process import ROOT

STORE = ROOT / "logs" / "bench"
KEPT = ("all", "peers")  # these are kept without being asked to
VERDICTS = ("yes", "NO", "stretch")
ABOUT = "results as one HTML page with pictures, and as PNG files"
ARGUMENTS: Options = {
    "results": dict(
        nargs="*", type=Path, metavar="RESULT.json",
        help="oldest first (default: the newest in logs/bench)"
    ),
    "--html": dict(
        type=Path, metavar="OUT", help="where the page goes (default: beside the last result)"
    ),
    "--png": dict(
        type=Path, metavar="DIR", help="write the pictures there as well, e.g. docs/img"
    ),
    "--markdown": dict(type=Path, metavar="OUT", help="write the tables as Markdown, to be kept"),
}  # fmt: skip
_STYLE = """
body { margin: 2rem auto; padding: 0 1rem; max-width: 62rem; font: 15px/1.5 system-ui, sans-serif;
  color: #1e293b; background: #fff; overflow-wrap: anywhere; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #cbd5e1; }
nav ul { columns: 14rem; padding-left: 1.2rem; } a { color: inherit; }
.wide, pre { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px;
  margin: .5rem 0; overflow-wrap: normal; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #cbd5e1; text-align: right;
  vertical-align: top; }
th:first-child, td:first-child { text-align: left; min-width: 8rem; }
.note { color: #64748b; margin: .1rem 0; font-size: 13px; }
.broken, .NO { color: #b91c1c; font-weight: 600; } .yes, .stretch { color: #15803d; }
.figures { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
figure { margin: .8rem 0 1.4rem; max-width: 500px; } figcaption { font-weight: 600; }
figure img { width: 100%; }
"""
HEADINGS = {  # in their order
    "peers": "Beside other gateways",
    "routing": "Routes and models",
    "overhead": "What the router adds",
    "throughput": "Throughput",
    "streams": "Many streams at once",
    "profile": "Where the time goes",
    "history": "A history that grows",
    "failover": "A tier that dies",
    "replicas": "Replicas with prefix caches",
    "faults": "Faults of a backend",
    "scorecard": "Sixteen faults, default limits",
    "operations": "Reload and stop",
    "overload": "More than it can serve",
    "connections": "Thousands of connections",
    "dashboard": "Open tabs of the dashboard",
    "mapper": "The mapper",
    "translation": "Translation of other APIs",
}
Table = Mapping[str, Any]
Runs = Sequence[tuple[str, dict[str, Any]]]  # file name and document, the latest last

# The command --------------------------------------------------------------------------------------


def run(args: argparse.Namespace, console: Console) -> int:
    paths = args.results or newest()
    if not paths:
        console.print(
            "There is no result yet: run ./Benchmark all, or name a file that --json has written."
        )
        return 1
    html = args.html or paths[-1].with_suffix(".html")
    try:
        runs = [(path.name, read(path)) for path in paths]
        written = [html]
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(runs), encoding="utf-8")
        if args.markdown is not None:
            args.markdown.write_text("\n".join(markdown(runs)), encoding="utf-8")
        if args.png is not None:
            tables = (table for _, document in runs for table in document["results"])
            figures = {one.title: one for table in tables for one in figures_of(table)}
            written += save(list(figures.values()), args.png)
    except (OSError, ValueError, NoPictures) as error:
        console.print(f"The report is not complete: {error}", highlight=False, markup=False)
        return 1
    console.print("\n".join(map(str, written)), highlight=False, markup=False)
    return 0


def read(path: Path) -> dict[str, Any]:
    """A result as `--json` writes it.

    Raises:
        OSError, ValueError: it cannot be read, or is something else.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise ValueError(f"{path} is no result of ./Benchmark")
    return document


def newest(store: Path = STORE) -> list[Path]:
    """The newest kept result of each kind, the newest of all last."""
    by_kind = {kind: sorted(store.glob(f"*-{kind}.json")) for kind in KEPT}
    return sorted((paths[-1] for paths in by_kind.values() if paths), key=lambda path: path.name)


def place(benchmark: str, store: Path = STORE) -> Path:
    store.mkdir(parents=True, exist_ok=True)
    return store / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{benchmark}.json"


def command_line(argv: Sequence[str]) -> str:
    """What was called, without secrets."""
    pairs = zip(["", *argv], argv, strict=False)
    shown = ["…" if before == "--api-key" else word for before, word in pairs]
    shown = ["--api-key=…" if word.startswith("--api-key=") else word for word in shown]
    return f"./Benchmark {shlex.join(shown).replace(shlex.quote('…'), '…')}"


# Markdown -----------------------------------------------------------------------------------------


def markdown(runs: Runs) -> Iterator[str]:
    """Lines: what was run where, and its tables without the samples."""
    for name, document in runs:
        about = document["environment"]
        where = f"{about.get('cores')} cores, {about.get('cpu')}, Python {about.get('python')}"
        yield f"# {name.removesuffix('.json')}\n"
        command = re.sub(r" --json[ =]\S+", "", str(about.get("command")))
        yield f"`{command}`, {about.get('date')}, {where}\n"
        for table in document["results"]:
            yield f"## {table['title']}\n"
            head = table["columns"]
            for row in (head, ["---"] * len(head), *table.get("cells", ())):
                cells = (str(cell).replace("|", "\\|") for cell in row)
                yield f"| {' | '.join(cells)} |"
            yield "".join(f"\n- {note}" for note in (*table["notes"], *table["broken"])) + "\n"


# The page -----------------------------------------------------------------------------------------


def page(runs: Runs) -> str:
    """The latest result of each benchmark, with everything in one file."""
    latest: dict[str, list[Table]] = {}
    for _, document in runs:
        found: dict[str, list[Table]] = {}
        for table in document["results"]:
            found.setdefault(escape(str(table.get("benchmark", ""))), []).append(table)
        latest |= found
    order = [name for name in HEADINGS if name in latest]
    sections = [
        (name, HEADINGS.get(name, name), "\n".join(_table(table, name) for table in latest[name]))
        for name in (*order, *(set(latest) - set(order)))
    ]
    told = "\n".join(
        f"<h3>{escape(name)}</h3>{_grid(('', ''), list(document['environment'].items()))}"
        for name, document in runs
    )
    sections.append(("environment", "Environment and commands", told))
    contents = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text, _ in sections)
    warnings = [
        *[f"{name} was interrupted." for name, found in runs if not found.get("complete", True)],
        *[f"{name} was a quick run." for name, found in runs if found["environment"].get("quick")],
    ]
    body = "\n".join(f'<h2 id="{name}">{text}</h2>\n{found}' for name, text, found in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ai-router: benchmark</title><style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>ai-router: benchmark</h1><p class='broken'>{escape(' '.join(warnings))}</p>\n"
        f"{_verdict(latest)}\n"
        f'<nav aria-label="Contents"><h2>Contents</h2><ul>{contents}</ul></nav>\n'
        f"{body}\n</body></html>\n"
    )


def _verdict(shown: Mapping[str, Sequence[Table]]) -> str:
    """How many promises were kept, and those that were not, each with a link to its benchmark."""
    kept, missed = 0, []
    for benchmark, tables in shown.items():
        for table in tables:
            rows = table.get("cells", ())
            failed = [" ".join(map(str, row)) for row in rows if "NO" in row]
            missed += [(benchmark, text) for text in table.get("broken") or failed]
            kept += sum(bool({"yes", "stretch"} & {*row}) for row in rows)
    items = "".join(
        f'<li><a href="#{name}">{name}</a>: {escape(text)}</li>' for name, text in missed
    )
    words = f"{len(missed)} of {kept + len(missed)} promises not kept."
    kind = "broken" if missed else "yes"
    return f'<h2 id="verdict">Verdict</h2><p class="{kind}">{words}</p><ul>{items}</ul>'


def _table(table: Table, benchmark: str) -> str:
    title = base_title(table)
    # What the section is called need not be said again.
    doubled = title.casefold() == HEADINGS.get(benchmark, benchmark).casefold()
    parts = [] if doubled else [f"<h3>{escape(str(table.get('title', '')))}</h3>"]
    figures = [_figure(figure, title) for figure in figures_of(table)]
    parts += ['<div class="figures">', *figures, "</div>"] if figures else []
    parts += [_grid(table.get("columns", ()), table["cells"])] if table.get("cells") else []
    parts += [f'<p class="note">{escape(str(note))}</p>' for note in table.get("notes", ())]
    for promise in table.get("broken", ()):
        parts.append(f'<p class="broken">Not kept: {escape(str(promise))}</p>')
    return "\n".join(parts)


def _figure(figure: Figure, heading: str) -> str:
    """The picture. Its title is left out where it is the heading under which it stands."""
    file, title = io.BytesIO(), escape(figure.title)
    try:
        draw(figure, file, format="svg")
    except NoPictures as why:
        return f'<p class="note">{title}: {why}</p>'
    caption = "" if figure.title == heading else f"<figcaption>{title}</figcaption>"
    note = f'<p class="note">{escape(figure.note)}</p>' if isinstance(figure, Bars) else ""
    data = base64.b64encode(file.getvalue()).decode()
    picture = f'<img alt="{title}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{caption}{picture}{note}</figure>"


def _grid(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(str(column))}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = [f'<td class="{cell}">' if cell in VERDICTS else "<td>" for cell in row]
        shown = zip(cells, map(escape, map(str, row)), strict=True)
        body += f"<tr>{''.join(tag + text + '</td>' for tag, text in shown)}</tr>"
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
