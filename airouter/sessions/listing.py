"""Requests as lines: the newest, the slowest, and new ones as they come."""

from collections.abc import Callable, Iterator
from itertools import islice

from rich.table import Table
from rich.text import Text

from airouter.sessions.files import Files, row
from airouter.sessions.find import Filter, Row
from airouter.sessions.terminal import local_time, milliseconds, one_line, shown, table

COLUMNS = (
    *("id", "at", "route", "tier", "backend", "outcome", "reason", "status", "total_ms"),
    *("classification_ms", "enrichment_ms", "queue_ms", "inference_ms", "ttft_ms"),
    *("tokens_in", "tokens_out", "speculation"),
)
_STAGES = {
    "queue_ms": "queue",
    "classification_ms": "decision",
    "enrichment_ms": "search",
    "inference_ms": "answer",
}
_POLL = 0.5  # seconds


def listed(rows: list[Row]) -> Table:
    """A table of requests."""
    return table(
        (
            *(("session", False), ("arrival", False), ("route", False), ("tier", False)),
            *(("backend", False), ("outcome", False), ("status", True), ("total ms", True)),
            *(("first content ms", True), ("tokens in", True), ("tokens out", True)),
            ("speculation", False),
        ),
        [
            (
                shown(one["id"][:8]),
                local_time(one["at"]),
                *(shown(one[name]) for name in ("route", "tier", "backend", "outcome", "status")),
                milliseconds(one["total_ms"]),
                milliseconds(one["ttft_ms"]),
                *(shown(one[name]) for name in ("tokens_in", "tokens_out", "speculation")),
            )
            for one in rows
        ],
    )


def slowest(rows: list[Row]) -> Table:
    """A table of requests with the stage of each that took longest."""
    return table(
        (
            *(("session", False), ("arrival", False), ("route", False), ("backend", False)),
            *(("outcome", False), ("total ms", True), ("longest stage", False), ("ms", True)),
            ("share", True),
        ),
        [
            (
                shown(one["id"][:8]),
                local_time(one["at"]),
                *(shown(one[name]) for name in ("route", "backend", "outcome")),
                milliseconds(one["total_ms"]),
                *_longest(one),
            )
            for one in rows
        ],
    )


def longest_stage(one: Row) -> tuple[str, float]:
    """The name and duration in ms of the stage that took longest."""
    ms, name = max((one[column] or 0.0, name) for column, name in _STAGES.items())
    return name, ms


def _longest(one: Row) -> tuple[str, str, str]:
    name, ms = longest_stage(one)
    share = f"{100 * ms / one['total_ms']:.0f} %" if one["total_ms"] else "–"
    return name, milliseconds(ms), share


def line(document: dict[str, object], one: Row) -> Text:
    """A session on one line, with its query."""
    style = "" if one["outcome"] == "ok" else "yellow" if one["status"] < 500 else "bold red"
    return Text.assemble(
        (f"{local_time(one['at'])[11:]} {shown(one['id'][:8]):8} ", "dim"),
        f"{shown(one['route']):11} {shown(one['tier']):10} {shown(one['backend']):10} ",
        (f"{milliseconds(one['total_ms']):>8} ms {shown(one['outcome'])} ", style),
        (one_line(str(document.get("user_query") or ""), 80), "dim"),
    )


def follow(
    files: Files, wanted: Filter, before: int, sleep: Callable[[float], None]
) -> Iterator[Text]:
    """The last sessions, then each new one. Never ends.

    Args:
        before: how many of those that are there already.
        sleep: waits so many seconds; called between two looks at the folder.
    """
    known = files.names()
    yield from reversed(list(islice(_lines(files, reversed(known), wanted), before)))
    seen = set(known)
    while True:
        sleep(_POLL)
        names = files.names()
        yield from _lines(files, (name for name in names if name not in seen), wanted)
        seen = set(names)


def _lines(files: Files, names: Iterator[str], wanted: Filter) -> Iterator[Text]:
    for name in names:
        document = files.read(name)
        if document is not None:
            one = row(document)
            if wanted.accepts(one):
                yield line(document, one)
