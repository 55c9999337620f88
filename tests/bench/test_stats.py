"""Percentiles and bootstrap intervals."""

import random

import pytest

from bench.stats import bootstrap, percentile, proportion, summarise


def test_a_percentile_lies_on_the_line_between_the_two_nearest_values() -> None:
    assert percentile([0.0, 10.0], 0.25) == 2.5
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5


def test_a_percentile_never_exceeds_what_was_measured() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.99) <= 3.0
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([1.0, 2.0], 1.0) == 2.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    assert summarise([]) is None


def test_a_summary_does_not_depend_on_the_order() -> None:
    summary = summarise([3.0, 1.0, 2.0])
    assert summary is not None
    assert (summary.n, summary.mean, summary.p50, summary.smallest, summary.largest) == (
        3,
        2.0,
        2.0,
        1.0,
        3.0,
    )


def test_the_same_values_give_the_same_interval() -> None:
    values = [float(i % 17) for i in range(200)]
    assert bootstrap(values, rounds=50) == bootstrap(values, rounds=50)


def test_an_interval_contains_the_estimate_and_narrows_with_more_values() -> None:
    source = random.Random(3)
    few = [source.gauss(10, 1) for _ in range(30)]
    many = [source.gauss(10, 1) for _ in range(1000)]
    narrow, wide = bootstrap(many, (0.5,), rounds=200)[0], bootstrap(few, (0.5,), rounds=200)[0]
    assert wide.low <= wide.value <= wide.high
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow.low - 0.2 < 10 < narrow.high + 0.2


def test_equal_values_have_no_width() -> None:
    (interval,) = bootstrap([4.0] * 10, (0.5,), rounds=20)
    assert (interval.low, interval.value, interval.high) == (4.0, 4.0, 4.0)


def test_a_share_has_an_interval_even_if_it_is_none_or_all() -> None:
    """Wilson's, as in its usual tables: 0 and 20 of 20, and 5 of 10."""
    none, every, half = proportion(0, 20), proportion(20, 20), proportion(5, 10)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.161, abs=5e-4)
    assert (every.value, every.high) == pytest.approx((1.0, 1.0))
    assert every.low == pytest.approx(0.839, abs=5e-4)
    assert (half.low, half.high) == pytest.approx((0.237, 0.763), abs=5e-4)
    with pytest.raises(ValueError, match="no values"):
        proportion(0, 0)
