"""Taking samples until there are enough or the time is up, with progress; Ctrl-C keeps what was
measured."""

import gc
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.client import Failure
from bench.result import Samples

T = TypeVar("T")
_REFRESH_S = 0.5


class Meter:
    """Progress in expected seconds. Drawn by the measuring thread itself between samples: a thread
    of its own would be
    measured along with them."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(
            *columns, console=console, transient=True, auto_refresh=False, speed_estimate_period=120
        )
        self._task: TaskID | None = None
        self._done = self._row = 0.0
        self._drawn = 0.0

    def start(self, title: str, expected: float) -> None:
        """Begin a benchmark that will take about so many seconds."""
        self.stop()
        self._done = self._row = 0.0
        self._progress.start()
        self._task = self._progress.add_task(title, total=expected)

    def row(self, name: str, expected: float) -> None:
        """Begin a part of it."""
        self._done += self._row
        self._row = expected
        if self._task is not None:
            self._progress.update(self._task, description=name, completed=self._done, refresh=True)

    def say(self, line: str) -> None:
        """A line that stays."""
        self._progress.console.print(line, style="dim", highlight=False, markup=False)

    def at(self, fraction: float) -> None:
        """How much of the part is done, 0..1."""
        now = time.perf_counter()
        if self._task is not None and now - self._drawn > _REFRESH_S:
            self._drawn = now
            self._progress.update(
                self._task, completed=self._done + self._row * min(1.0, fraction), refresh=True
            )

    def stop(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._progress.stop()


class Sampler:
    """Collects samples. After Ctrl-C `interrupted` is set, and every further collection comes back
    empty at once."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.interrupted = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What stands in it ends at Ctrl-C, and `interrupted` is set."""
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
        expected: float | None = None,
    ) -> Samples[T]:
        """Call `measure(i)` until there are `wanted` samples, or `budget` seconds are over and
        `at_least` tries were made.

        A `Failure` that it raises is counted and gives no sample; five of them without a sample in
        between end it.
        `expected` seconds are for the progress alone.
        """
        samples: Samples[T] = Samples()
        if self.interrupted:
            return samples
        if name:
            self.meter.row(name, expected or budget)
        begun, tries, in_a_row = time.perf_counter(), 0, 0
        with self.interruptible():
            while len(samples.values) < wanted and in_a_row < 5:
                elapsed = time.perf_counter() - begun
                # One more only if it will probably fit.
                if tries >= at_least and elapsed + elapsed / tries > budget:
                    break
                try:
                    samples.values.append(measure(tries))
                    in_a_row = 0
                except Failure as failure:
                    samples.failures += 1
                    in_a_row += 1
                    samples.first_failure = samples.first_failure or str(failure)
                tries += 1
                self.meter.at(max(len(samples.values) / wanted, elapsed / budget))
        return samples


@contextmanager
def without_collector() -> Iterator[None]:
    """Without Python's garbage collection, whose pauses would be ours and not the router's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Pair(Generic[T]):
    """One sample of each of two sides, in an order left to chance: what the machine does, it does
    to both."""

    def __init__(self, first: Callable[[int], T], second: Callable[[int], T]) -> None:
        self._first, self._second, self._order = first, second, random.Random(7)

    def take(self, i: int = 0) -> tuple[T, T]:
        if self._order.random() < 0.5:
            return self._first(i), self._second(i)
        second = self._second(i)
        return self._first(i), second
