"""What a benchmark found: rows for people and data for programs, from the same place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.stats import FEW, Interval, Summary

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: `cells` as printed, `data` as numbers with their units in the names."""

    cells: tuple[str, ...]
    data: Mapping[str, Any]


@dataclass(slots=True)
class Result:
    """One table. Rows are added as they are measured, so that an interrupted run keeps what it has."""

    benchmark: str
    title: str
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(
        default_factory=list
    )  # promises that were not kept: the exit status is 1 then

    def add(self, cells: Sequence[str], **data: Any) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(Row(tuple(cells), data))

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


def ms(seconds: float | None, digits: int | None = None) -> str:
    """Seconds as milliseconds with as many digits as they deserve."""
    if seconds is None:
        return NOTHING
    value = seconds * 1000
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def spread(summary: Summary | None) -> tuple[str, str, str]:
    """p50, p95 and p99 of seconds, in ms; of few samples the p50 alone."""
    if summary is None:
        return NOTHING, NOTHING, NOTHING
    if summary.n < FEW:
        return ms(summary.p50), NOTHING, NOTHING
    return ms(summary.p50), ms(summary.p95), ms(summary.p99)


def counted(n: int, failures: int) -> str:
    """How many samples, and how many requests failed and gave none."""
    return f"{n}" if not failures else f"{n} ({failures} failed)"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"
