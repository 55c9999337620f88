"""Bounds, calibration and curves of predictions."""

import numpy as np
import pytest

from airouter.evaluation.measures import (
    calibration_error,
    curve,
    lower_bound,
    percentile,
    upper_bound,
)


@pytest.mark.parametrize(
    ("bad", "n", "bound"),
    [
        (0, 100, 0.0295),
        (0, 300, 0.0099),
        (3, 300, 0.0256),
        (10, 1000, 0.0169),
        (5, 5, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_exact_upper_bound(bad: int, n: int, bound: float) -> None:
    assert upper_bound(bad, n) == pytest.approx(bound, abs=2e-4)
    assert lower_bound(n - bad, n) == pytest.approx(1 - bound, abs=2e-4)


def test_calibration_error() -> None:
    p = np.full(1000, 0.8)
    assert calibration_error(p, np.arange(1000) % 5 != 0) == pytest.approx(0.0, abs=0.02)
    assert calibration_error(p, np.zeros(1000, bool)) == pytest.approx(0.8)
    assert calibration_error(np.array([]), np.array([])) == 0


def test_the_curve_goes_from_the_surest() -> None:
    points = curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]))
    assert points[0] == (0.25, 1.0)
    assert points[-1] == (1.0, 0.75)


def test_percentiles() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([], 0.99) == 0
