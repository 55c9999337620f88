"""Sums that are added to a metric later give the metric that counting at once would have given."""

import random
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from airouter.telemetry import children as module
from airouter.telemetry.children import CounterSums, HistogramSums

BOUNDS = (0.125, 0.5, 2.0)
LOCK = threading.Lock()


def test_a_histogram_of_sums_is_the_histogram_of_the_values():
    """In every bucket, those at a bound included, however often the sums are flushed."""
    texts = []
    for summed in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("h", "H.", ("route",), buckets=BOUNDS, registry=registry)
        sums, rng = HistogramSums(histogram, BOUNDS), random.Random(7)
        for number in range(500):
            value = rng.choice((0.0, 0.125, 0.5, 2.0, 9.0))
            if summed:
                sums.observe(1000 * value, "primary")
                if number % 70 == 0:
                    sums.add(sums.take(LOCK))
            else:
                histogram.labels("primary").observe(value)
        sums.add(sums.take(LOCK))
        texts.append(
            [line for line in generate_latest(registry).splitlines() if b"_created" not in line]
        )
    assert texts[0] == texts[1]


def test_a_counter_of_sums():
    """Nothing is added twice."""
    registry = CollectorRegistry()
    counter = Counter("c", "C.", ("kind", "backend"), registry=registry)
    sums = CounterSums(counter)
    sums["input", None][0] += 3
    sums.add(sums.take(LOCK))
    sums.add(sums.take(LOCK))
    sums["input", None][0] += 0.5
    sums.add(sums.take(LOCK))
    assert registry.get_sample_value("c_total", {"kind": "input", "backend": "none"}) == 3.5


def test_combinations_beyond_the_maximum_are_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_SERIES", 5)
    registry = CollectorRegistry()
    sums = CounterSums(Counter("c", "C.", ("name",), registry=registry))
    for number in range(50):
        sums[f"n{number}",][0] += 1
    sums.add(sums.take(LOCK))
    assert registry.get_sample_value("c_total", {"name": "n4"}) == 1
    assert registry.get_sample_value("c_total", {"name": "other"}) == 45
    assert len(sums) == 6
