"""Takes samples until there are enough or the time is up. Ctrl-C keeps what was measured."""

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.client import Failure
from bench.result import Samples

T = TypeVar("T")
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
        """Print a line that stays."""
        self._line.console.print(line, style="dim", highlight=False, markup=False)

    def stop(self) -> None:
        """Show nothing any more."""
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
        """Call `measure(i)` until there are `wanted` samples, or until `budget` seconds are over and
        `at_least` tries were made.

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

    def __init__(self, seconds: float) -> None:
        self._seconds, self._stop = seconds, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    def look(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.look()


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
