"""What all the commands share that print: text made harmless, times, tables, progress."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

NONE = "–"
_WIDTH = 160  # columns, where the output is not a terminal
_STYLES = {
    "ok": "green",
    "truncated": "yellow",
    "client_gone": "yellow",
    "client_error": "yellow",
    "upstream_error": "bold red",
    "router_error": "bold red",
}


def out() -> Console:
    """The console of the output."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(
            highlight=False, markup=False, emoji=False, width=max(console.width, _WIDTH)
        )
    return console


def say(sentence: str) -> None:
    """Print a remark where it does not mix with the output."""
    print(f"ai-router: {clean(sentence)}", file=sys.stderr)


def clean(text: object, *, lines: bool = False) -> str:
    """Without control characters, which a terminal would obey, and without marks that change the
    direction of text.

    Args:
        lines: line breaks and tabs are kept.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else "\N{REPLACEMENT CHARACTER}" for c in str(text)
    )


def one_line(text: str, most: int) -> str:
    """The beginning of a text, on one line."""
    joined = " ".join(text[: 4 * most].split())
    return clean(joined if len(joined) <= most else f"{joined[: most - 1]}…")


def shown(value: object) -> str:
    """A value of a column; a dash for none."""
    return NONE if value is None else clean(value)


def milliseconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def local_time(at: float) -> str:
    """A time in seconds since 1970 as local date and time."""
    try:
        return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return NONE


def table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], title: str = ""
) -> Table:
    """A table without borders.

    Args:
        columns: the heading of each, and whether it has numbers, which are aligned to the right.
        rows: texts that are clean already.
    """
    made = Table(
        box=None,
        pad_edge=False,
        title=Text(title, style="bold") if title else None,
        title_justify="left",
    )
    for name, number in columns:
        made.add_column(
            Text(name), justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in rows:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return made


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr while the block runs, if that is a terminal.

    Yields:
        a function that is called with (done, of how many).
    """
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=max(total, 1))
