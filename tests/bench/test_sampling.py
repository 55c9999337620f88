"""When sampling ends, and what it keeps."""

import io

from rich.console import Console

from bench.client import Failure
from bench.result import Sampler


def sampler() -> Sampler:
    return Sampler(Console(file=io.StringIO()))


def test_failures_are_counted_and_are_no_samples() -> None:
    def measure(i: int) -> int:
        if i % 2:
            raise Failure(f"number {i}")
        return i

    samples = sampler().collect(measure, 3)
    assert samples.values == [0, 2, 4]
    assert (samples.failures, samples.first_failure) == (2, "number 1")


def test_what_always_fails_ends() -> None:
    def measure(_i: int) -> int:
        raise Failure("no")

    samples = sampler().collect(measure, 100)
    assert (samples.values, samples.failures) == ([], 5)


def test_time_ends_it_but_not_before_the_least_number() -> None:
    samples = sampler().collect(lambda i: i, 1000, budget=1e-9, at_least=5)
    assert len(samples.values) == 5


def test_an_interrupt_keeps_what_was_measured_and_ends_what_follows() -> None:
    def measure(i: int) -> int:
        if i == 3:
            raise KeyboardInterrupt
        return i

    under_test = sampler()
    assert under_test.collect(measure, 10).values == [0, 1, 2]
    assert under_test.interrupted
    assert under_test.collect(measure, 10).values == []
