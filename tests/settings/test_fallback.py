"""The probabilities from which on a guess decides, by what an error costs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airouter.settings.cascade import CascadeSettings, FallbackSettings


@pytest.mark.parametrize(
    ("given", "complex_", "at_home", "away"),
    [
        ({}, 0.9, 0.6, 0.9),
        ({"fallback_min_p": 0.75}, 0.75, 0.75, 0.75),  # a number, as in earlier versions: both
        ({"fallback_min_p": 1}, 1, 1, 1),
        ({"fallback_min_p": {"complex": 0.95}}, 0.95, 0.6, 0.95),
        ({"fallback_min_p": {"complex": 0.55}}, 0.55, 0.55, 0.55),
        ({"fallback_min_p": {"enrich": 0.7}}, 0.9, 0.7, 0.7),
    ],
    ids=str,
)
def test_a_local_search_may_be_started_on_a_weaker_guess(
    given: dict[str, Any], complex_: float, at_home: float, away: float
) -> None:
    found = CascadeSettings(**given).fallback_min_p
    assert found.complex == complex_
    assert found.for_enrich(local=True) == at_home
    assert found.for_enrich(local=False) == away


@pytest.mark.parametrize("wrong", [0.4, 1.1, "much", True, {"simple": 0.9}, {"complex": 0.2}])
def test_what_is_no_probability_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="fallback_min_p"):
        CascadeSettings(fallback_min_p=wrong)


def test_the_cloud_keeps_its_promise_by_default() -> None:
    """ADR 0004: what may go to the cloud on a guess."""
    assert FallbackSettings().complex == 0.9
