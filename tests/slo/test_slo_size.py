"""How many pods a load needs."""

import math

import pytest

from airouter.slo.size import Size, size


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((50, 0.25), Size(12.5, 2)),
        ((50, 0.25, 1), Size(12.5, 1)),
        ((400, 0.25), Size(100, 2)),
        ((1000, 0.25), Size(250, 3)),
        ((1000, 0.25, 5), Size(250, 5)),
        ((800, 0.25, 2, 100), Size(200, 2)),
        ((804, 0.25, 2, 100), Size(201, 3)),
        ((100, 0.07, 1, 7), Size(7, 1)),  # 100 × 0.07 is 7.000000000000001
    ],
)
def test_requests_in_flight_and_pods(arguments: tuple[float, ...], expected: Size) -> None:
    assert size(*arguments) == expected


@pytest.mark.parametrize("number", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_number_that_makes_no_sense_is_refused(number: float, place: int) -> None:
    arguments = [50, 0.25, 2, 100]
    arguments[place] = number
    with pytest.raises(ValueError, match="positive"):
        size(*arguments)
