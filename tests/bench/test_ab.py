"""`./Benchmark routing --ab`: two configurations side by side."""

import pytest

from bench.ab import COLUMNS, _add, sides
from bench.result import Result, Samples
from bench.stand import Unavailable


def test_what_can_be_compared() -> None:
    speculation = sides("speculation=on,off")
    assert (speculation.variable, speculation.values) == ("SPECULATION", ("on", "off"))
    index = sides("index=on,off")
    assert (index.variable, index.values) == ("INDEX", ("on", "off"))
    tiers = sides("tier=learned, one_token")
    assert (tiers.variable, tiers.values) == ("CASCADE_TIERS", ("rules,learned", "rules,one_token"))


@pytest.mark.parametrize(
    "text", ["", "speculation", "speculation=on", "tier=a,b,c", "tier=,b", "colour=red,blue"]
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Unavailable, match="speculation=on,off or index=on,off or tier=A,B"):
        sides(text)


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(1.0, 1.2 + i / 100) for i in range(10)], "A is faster"),
        ([(1.2 + i / 100, 1.0) for i in range(10)], "B is faster"),
        ([(1.0, 0.9), (1.0, 1.1)] * 5, "no difference seen"),
        ([(1.0, 2.0)] * 3, "too few pairs"),
    ],
)
def test_the_verdict_follows_the_interval(pairs: list[tuple[float, float]], verdict: str) -> None:
    result = Result("ab", "", COLUMNS)
    _add(result, "a row", Samples(values=pairs))
    assert result.rows[0].cells[-1] == verdict


def test_a_row_that_only_failed_says_why() -> None:
    result = Result("ab", "", COLUMNS)
    _add(result, "a row", Samples(failures=2, first_failure="status 503"))
    assert result.rows[0].cells[-1] == "status 503"
