"""What a benchmark measures and finds: taking samples until there are enough or the time is up
(Ctrl-C keeps what was measured), and tables for people and for programs, from the same rows."""

import gc
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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
    if not isinstance(value, Summary | Interval):
        return str(value)
    return {name: round(number, 6) for name, number in asdict(value).items()}


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


_JOIN_S = 11.0


class Sampler:
    """Collects samples and shows what is being measured. After Ctrl-C `interrupted` is set, and
    every further collection is empty."""

    def __init__(self, console: Console) -> None:
        self.interrupted = False
        # Drawn by the measuring thread between samples: a thread of its own would be measured, too.
        self._line = Live(console=console, auto_refresh=False, transient=True)

    def row(self, name: str) -> None:
        """Show what is measured from now on."""
        self._line.start()
        self._line.update(Text(f"{name} …", style="dim"), refresh=True)

    def say(self, line: str) -> None:
        self._line.console.print(line, style="dim", highlight=False, markup=False)

    def stop(self) -> None:
        self._line.stop()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the block and sets `interrupted`."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True

    def collect(
        self,
        measure: Callable[[int], T],
        wanted: int,
        *,
        budget: float = 60.0,
        at_least: int = 5,
        name: str = "",
    ) -> Samples[T]:
        """Call `measure(i)` until there are `wanted` samples, or until `budget` seconds are over
        and `at_least` tries were made.

        A `Failure` is counted and gives no sample; five in a row end the collection.
        """
        samples: Samples[T] = Samples()
        if self.interrupted:
            return samples
        if name:
            self.row(name)
        begun, tries, in_a_row = time.perf_counter(), 0, 0
        with self.interruptible():
            while len(samples.values) < wanted and in_a_row < 5:
                elapsed = time.perf_counter() - begun
                # One more only if it will probably fit.
                if tries >= at_least and elapsed + elapsed / tries > budget:
                    break
                tries += 1
                try:
                    samples.values.append(measure(tries - 1))
                    in_a_row = 0
                except Failure as failure:
                    samples.failures += 1
                    in_a_row += 1
                    samples.first_failure = samples.first_failure or str(failure)
        return samples


class Periodic:
    """While its block runs, a thread calls `look` every `seconds`."""

    def __init__(self, seconds: float, look: Callable[[], None]) -> None:
        self._seconds, self._look, self._stop = seconds, look, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._look()


@contextmanager
def without_collector() -> Iterator[None]:
    """Without Python's garbage collection, whose pauses would be the client's, not the router's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Pair(Generic[T]):
    """One sample of each of two sides in random order, so that disturbances affect both alike."""

    def __init__(self, first: Callable[[int], T], second: Callable[[int], T]) -> None:
        self._first, self._second, self._order = first, second, random.Random(7)

    def take(self, i: int = 0) -> tuple[T, T]:
        if self._order.random() < 0.5:
            return self._first(i), self._second(i)
        second = self._second(i)
        return self._first(i), second
