"""The gate: its levels, each by itself, and what is missing."""

import pytest

from airouter.learning.gate import Figures, agrees, figures, is_harmful, refusals

GOOD = Figures(n=600, covered=400, agreed=395, harmful=2, before=350)


def changed(**changes: int) -> Figures:
    values = {name: getattr(GOOD, name) for name in GOOD.__slots__} | changes
    return Figures(**values)


def test_a_good_model_passes() -> None:
    assert refusals(GOOD) == []
    assert refusals(changed(agreed=388)) == []
    assert refusals(changed(harmful=4)) == []
    assert refusals(changed(before=400)) == []
    assert refusals(changed(covered=300, agreed=300, before=0)) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agreed": 387}, "it agrees with the classifier in 96.8%, below 97%"),
        ({"harmful": 5}, "1.2% of its decisions are harmful, above 1%"),
        ({"before": 401}, "it covers 400 examples, the model in service 401"),
        ({"covered": 299, "agreed": 299}, "about 7 examples are missing"),
        ({"covered": 100, "agreed": 100}, "about 3,600 examples are missing"),
        ({"covered": 0, "agreed": 0, "harmful": 0}, "no threshold made it agree often enough"),
        ({"n": 0, "covered": 0, "agreed": 0, "harmful": 0}, "it covers 0 of the 0"),
    ],
)
def test_others_are_refused(changes: dict[str, int], why: str) -> None:
    reasons = refusals(changed(**changes))
    assert len(reasons) == 1
    assert why in reasons[0]


def test_all_reasons_are_given() -> None:
    assert len(refusals(changed(agreed=300, harmful=50, before=500))) == 3


def test_figures() -> None:
    found = figures(
        ["SIMPLE", "COMPLEX", "ENRICH", "MODERATE", "ENRICH"],
        ["MODERATE", "SIMPLE", "MODERATE", "COMPLEX", None],
        [None, None, "ENRICH", None, None],
    )
    assert found == Figures(n=5, covered=4, agreed=1, harmful=2, before=1)
    shown = found.as_json()
    assert (shown["coverage"], shown["agreement"], shown["harmful"]) == (0.8, 0.25, 0.5)
    assert shown["coverage_in_service"] == 0.2
    assert shown["agreement_lower"] < 0.25
    assert shown["harmful_upper"] > 0.5


def test_harmful_is_a_hard_ask_for_the_primary() -> None:
    assert agrees("SIMPLE", "MODERATE")
    assert not is_harmful("SIMPLE", "COMPLEX")
    assert not is_harmful("COMPLEX", "ENRICH")
    assert is_harmful("COMPLEX", "SIMPLE")
    assert is_harmful("ENRICH", "MODERATE")
