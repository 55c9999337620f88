"""Statistics, and what speculation saved."""

import pytest

from airouter.sessions.find import Filter, Requests
from airouter.sessions.stats import collect, percentiles, saved_ms


def test_counts_times_and_tokens(either):
    stats = collect(Requests(either).rows(Filter()))
    assert stats.everything.requests == 3
    assert stats.everything.outcomes == {"ok": 2, "upstream_error": 1}
    assert stats.groups["route"]["primary"].speculations == {"won": 1}
    assert stats.groups["backend"]["gpu0"].tokens_in == 7
    assert percentiles(stats.groups["route"]["xai"].total) is None
    assert percentiles(stats.everything.total)[0] == pytest.approx(800.0)


def test_saved_is_the_difference_to_asking_after_the_decision():
    one = {
        "speculation": "won",
        "classification_ms": 200.0,
        "backend_ttft_ms": 150.0,
        "ttft_ms": 210.0,
    }
    assert saved_ms(one) == 140.0
    assert saved_ms(one | {"ttft_ms": 400.0}) == 0.0
    assert saved_ms(one | {"speculation": "cancelled"}) == 0.0
