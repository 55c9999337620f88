"""What a benchmark found: rows for people and data for programs, from the same place."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.client import Failure
from bench.stats import FEW, Interval, Summary

NOTHING = "–"
T = TypeVar("T")


@dataclass(slots=True)
class Samples(Generic[T]):
    """What was measured, and what failed: failures are counted and are never samples."""

    values: list[T] = field(default_factory=list)
    failures: int = 0
    first_failure: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: `cells` as printed, `data` as numbers with their units in the names."""

    cells: tuple[str, ...]
    data: Mapping[str, Any]


@dataclass(slots=True)
class Result:
    """One table. Rows are added as they are measured, so that an interrupted run keeps what it
    has."""

    benchmark: str
    title: str
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Promises that were not kept: the exit status is 1 then.
    broken: list[str] = field(default_factory=list)

    def add(self, cells: Sequence[str], **data: Any) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(Row(tuple(cells), data))

    def failed(self, name: str, samples: Samples[Any]) -> bool:
        """Whether there is no sample. If requests failed, a row says why."""
        if samples.failures and not samples.values:
            nothing = (NOTHING,) * (len(self.columns) - 3)
            said = samples.first_failure[:60]
            self.add((name, counted(samples), *nothing, said), failures=samples.failures)
        return not samples.values

    def print(self, console: Console) -> None:
        table = Table(title=escape(self.title), title_justify="left", title_style="bold")
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row.cells)
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", style="dim", highlight=False, markup=False)
        for promise in self.broken:
            console.print(f"  NOT KEPT: {promise}", style="bold red", highlight=False, markup=False)
        console.print()


class Promises:
    """A table of what was promised, what was measured, and whether it was kept; one that was not
    makes the exit status 1."""

    def __init__(self, benchmark: str, title: str) -> None:
        self.result = Result(benchmark, title, ("promise", "target", "measured", "kept"))

    def check(self, promise: str, target: str, measured: str, kept: bool, **data: Any) -> None:
        cells = (promise, target, measured, "yes" if kept else "NO")
        self.result.add(cells, kept=kept, target=target, measured=measured, **data)
        if not kept:
            self.result.broken.append(f"{promise}: {measured}, promised {target}")

    def count(self, promise: str, found: int, wanted: int = 0, of: int | None = None) -> None:
        """Promised is exactly so many."""
        beyond = "" if of is None else f" of {of}"
        target = f"{wanted}{beyond}" if wanted else "0"
        self.check(promise, target, f"{found}{beyond}", found == wanted)

    @contextmanager
    def answered(self) -> Iterator[None]:
        """A `Failure` in it is a promise that was not kept."""
        try:
            yield
        except Failure as failure:
            self.check("every request alone is answered", "yes", str(failure)[:300], False)

    def note(self, what: str, measured: str, **data: Any) -> None:
        """Measured, but nothing was promised."""
        self.result.add((what, NOTHING, measured, ""), measured=measured, **data)


def write_json(
    path: Path, results: Sequence[Result], environment: Mapping[str, Any], *, complete: bool
) -> None:
    """Everything of a run in one file."""
    tables = [
        {
            "benchmark": r.benchmark,
            "title": r.title,
            "columns": r.columns,
            "cells": [row.cells for row in r.rows],
            "rows": [{"name": row.cells[0], **row.data} for row in r.rows if row.data],
            "notes": r.notes,
            "broken": r.broken,
        }
        for r in results
    ]
    document = {"environment": environment, "complete": complete, "results": tables}
    path.write_text(
        json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Summary | Interval):
        return {
            name: round(number, 6) if isinstance(number, float) else number
            for name, number in asdict(value).items()
        }
    return str(value)


def ms(seconds: float | None, places: int | None = None) -> str:
    """Seconds as milliseconds with as many digits as they deserve."""
    value = None if seconds is None else seconds * 1000
    return number(value, digits(value or 0.0) if places is None else places)


def digits(value: float) -> int:
    """How many digits behind the point a figure deserves."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3


def spread(found: Summary | None, *parts: str, show: Callable[..., str] = ms) -> tuple[str, ...]:
    """p50, p95 and p99 of seconds (of few samples the p50 alone), or the parts that are named, in
    ms."""
    names = parts or ("p50", "p95", "p99")
    told = () if found is None else names[:1] if found.n < FEW and not parts else names
    return tuple(show(getattr(found, name)) if name in told else NOTHING for name in names)


def intervals(found: Sequence[Interval], n: int) -> tuple[str, ...]:
    """Estimates of p50, p95 and p99 from `n` samples, in ms; of few samples the p50 alone."""
    return tuple(interval(one if n >= FEW or not i else None) for i, one in enumerate(found))


def interval(
    found: Interval | None, unit: str = "", *, scale: float = 1000.0, places: int | None = None
) -> str:
    """An estimate with its confidence interval: seconds, shown in ms."""
    if found is None:
        return NOTHING
    value, low, high = (
        ms(part * scale / 1000, places) for part in (found.value, found.low, found.high)
    )
    return f"{value} [{low}, {high}]{unit}"


def counted(samples: Samples[Any]) -> str:
    """How many samples, and how many requests failed and gave none."""
    failed = f" ({samples.failures} failed)" if samples.failures else ""
    return f"{len(samples.values)}{failed}"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"
