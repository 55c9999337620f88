"""The series of a metric by the values of its labels, and sums to be added to them later."""

import threading
from bisect import bisect_left
from typing import Any

from prometheus_client import Counter, Histogram

# Maximum label combinations per metric; beyond it (a misconfiguration) all count as "other".
MAX_SERIES = 2_000

Labels = tuple[Any, ...]
Rows = list[tuple[Labels, list[float]]]


class Children(dict[Labels, Any]):
    """A metric's children by label values, cached because `.labels()` costs more than counting."""

    def __init__(self, metric: Counter | Histogram) -> None:
        super().__init__()
        self.metric = metric

    def __missing__(self, labels: Labels) -> Any:
        if len(self) >= MAX_SERIES:
            return self.metric.labels(*("other" for _ in labels))
        child = self[labels] = self.metric.labels(*map(_text, labels))
        return child


def _text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label or "none")


class _Sums(dict[Labels, list[float]]):
    """What has been counted since the last `take()`, by label values.

    Adding to a value that several processes share takes 2 µs, as it writes to a file's memory; to a
    list, a tenth of it. Callers guard changes by a lock.

    Args:
        size: numbers per combination of label values.
    """

    def __init__(self, metric: Counter | Histogram, size: int) -> None:
        super().__init__()
        self._children = Children(metric)
        self._size = size

    def __missing__(self, labels: Labels) -> list[float]:
        if len(self) >= MAX_SERIES:
            labels = ("other",) * len(labels)
            if labels in self:
                return self[labels]
        row = self[labels] = [0.0] * self._size
        return row

    def take(self, lock: threading.Lock) -> Rows:
        """The sums, which begin at 0 again.

        Args:
            lock: the one that guards them.
        """
        with lock:
            taken = [(labels, row[:]) for labels, row in self.items() if any(row)]
            for labels, _ in taken:
                self[labels][:] = [0.0] * self._size
        return taken

    def add(self, taken: Rows) -> None:
        """Add sums that were taken to the metric."""
        for labels, row in taken:
            self._add(self._children[labels], row)

    def _add(self, child: Any, row: list[float]) -> None:
        raise NotImplementedError


class CounterSums(_Sums):
    """Sums of a counter: `sums[labels][0] += amount`."""

    def __init__(self, metric: Counter) -> None:
        super().__init__(metric, 1)

    def _add(self, child: Any, row: list[float]) -> None:
        child.inc(row[0])


class HistogramSums(_Sums):
    """Sums of a histogram, by bucket."""

    def __init__(self, metric: Histogram, bounds: tuple[float, ...]) -> None:
        super().__init__(metric, len(bounds) + 2)  # a bucket for more than the bounds, and the sum
        self._bounds = bounds

    def observe(self, ms: float, *labels: Any) -> None:
        """Count a duration in milliseconds; the metric is in seconds."""
        seconds, row = ms / 1000, self[labels]
        row[bisect_left(self._bounds, seconds)] += 1.0
        row[-1] += seconds

    def _add(self, child: Any, row: list[float]) -> None:
        # `Histogram.observe()` takes one value at a time.
        for bucket, count in zip(child._buckets, row, strict=False):
            if count:
                bucket.inc(count)
        child._sum.inc(row[-1])
