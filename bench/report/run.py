"""The command, and where results are kept: `logs/bench/<stamp>-<benchmark>.json` with the page
beside it."""

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.options import Options
from bench.report.before import Change, changes
from bench.report.figures import Figure, figures_of
from bench.report.page import by_benchmark, page
from bench.report.pictures import NoPictures, save
from bench.router_process import ROOT

STORE = ROOT / "logs" / "bench"
KEPT = ("all", "peers")  # these are kept without being asked to
_SECRETS = ("--api-key",)


ABOUT = "results as one HTML page with pictures, and as PNG files"
DESCRIPTION = f"{ABOUT[0].upper()}{ABOUT[1:]}. The page needs no network."
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


def run(args: argparse.Namespace, console: Console) -> int:
    """`./Benchmark report`."""
    paths = args.results or newest()
    if not paths:
        console.print(
            "There is no result yet: run ./Benchmark all, or name a file that --json has written."
        )
        return 1
    try:
        runs = [(path.name, read(path)) for path in paths]
    except (OSError, ValueError) as error:
        console.print(f"A result cannot be read: {error}", highlight=False, markup=False)
        return 1
    html = args.html or paths[-1].with_suffix(".html")
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(page(runs, _compared(runs)), encoding="utf-8")
    console.print(str(html), highlight=False, markup=False)
    if args.markdown is not None:
        args.markdown.write_text("\n".join(markdown(runs)), encoding="utf-8")
    if args.png is not None:
        try:
            for path in save(_figures(runs), args.png):
                console.print(str(path), highlight=False, markup=False)
        except NoPictures as why:
            console.print(str(why), highlight=False, markup=False)
            return 1
    return 0


def markdown(runs: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
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
    found = [
        max(paths, key=lambda path: path.name)
        for kind in KEPT
        if (paths := list(store.glob(f"*-{kind}.json")))
    ]
    return sorted(found, key=lambda path: path.name)


def place(benchmark: str, store: Path = STORE) -> Path:
    """Where a run that is kept goes."""
    store.mkdir(parents=True, exist_ok=True)
    return store / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{benchmark}.json"


def write_page(result: Path, console: Console) -> None:
    """The page beside a result that was just written, with the newest of the other kinds and the
    last of its own in it."""
    kind = result.stem.rpartition("-")[2]
    own = sorted(path for path in result.parent.glob(f"*-{kind}.json") if path.name < result.name)[
        -1:
    ]
    others = [path for path in newest(result.parent) if not path.name.endswith(f"-{kind}.json")]
    run(
        argparse.Namespace(
            results=[*sorted(own + others), result], html=None, png=None, markdown=None
        ),
        console,
    )


def command_line(argv: Sequence[str]) -> str:
    """What was called, without secrets."""
    words: list[str] = []
    hide = False
    for word in argv:
        name, equals, _ = word.partition("=")
        words.append("…" if hide else f"{name}=…" if name in _SECRETS and equals else word)
        hide = word in _SECRETS
    return f"./Benchmark {shlex.join(words).replace(shlex.quote('…'), '…')}"


def _compared(runs: Sequence[tuple[str, dict[str, Any]]]) -> list[Change]:
    """The last run that has a benchmark beside the last but one that has it."""
    found: list[Change] = []
    seen: dict[str, list[dict[str, Any]]] = {}
    for _, document in runs:
        for benchmark, tables in by_benchmark(document).items():
            if benchmark in seen:
                found = [change for change in found if change.benchmark != benchmark] + changes(
                    seen[benchmark], tables
                )
            seen[benchmark] = tables
    return found


def _figures(runs: Sequence[tuple[str, dict[str, Any]]]) -> list[Figure]:
    """Every picture of the page, the latest of each."""
    tables = (table for _, document in runs for table in document["results"])
    return list({one.title: one for table in tables for one in figures_of(table)}.values())
