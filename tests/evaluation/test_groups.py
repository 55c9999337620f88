"""Results by group: kinds of error, shapes, the fallback, and flips."""

from typing import Any

import pytest
from classify.make import features

from airouter.evaluation.groups import (
    KINDS,
    SHAPE_GROUPS,
    by,
    classifier_away,
    error_kinds,
    flips,
    row,
    shapes_of,
)
from airouter.evaluation.outcome import Outcome


def made(label: str, decided: str | None, **fields: Any) -> Outcome:
    covered = decided is not None
    values = dict(accepted=frozenset({label}), covered=covered, tier="learned", p=0.9)
    values |= dict(guess=decided, ms={}, total_ms=0.1)
    return Outcome(label, decided=decided, **(values | fields))


def test_errors_are_counted_by_kind_of_the_covered() -> None:
    pairs = [
        ("ENRICH", "PRIMARY"), ("COMPLEX", "PRIMARY"), ("PRIMARY", "COMPLEX"),
        ("META", "COMPLEX"), ("PRIMARY", "ENRICH"), ("COMPLEX", "ENRICH"), ("ENRICH", "COMPLEX"),
        ("PRIMARY", "META"), ("PRIMARY", "PRIMARY"), ("ENRICH", None), ("META", "META"),
    ]  # fmt: skip
    kinds = error_kinds([made(*pair) for pair in pairs])
    assert {name: one["n"] for name, one in kinds.items()} == {
        **dict.fromkeys(KINDS, 1),
        "cloud_instead_of_local": 2,
        "meta_missed": 1,
    }
    assert kinds["meta_false"]["share"] == pytest.approx(1 / 10)
    assert kinds["meta_missed"]["share"] == 0.5
    tolerated = made("ENRICH", "PRIMARY", accepted=frozenset({"ENRICH", "PRIMARY"}))
    assert not any(one["n"] for one in error_kinds([tolerated]).values())


def test_a_row_has_one_sided_bounds() -> None:
    one = row([made("PRIMARY", "PRIMARY")] * 97 + [made("ENRICH", "PRIMARY")] * 3)
    assert (one["accuracy"], one["harmful"]) == (0.97, 0.03)
    # Exact one-sided bounds of 3 in 100 at 95 %.
    assert one["harmful_upper_95"] == pytest.approx(0.0757, abs=2e-4)
    assert one["accuracy_lower_95"] == pytest.approx(1 - 0.0757, abs=2e-4)
    nothing = row([made("PRIMARY", None)])
    assert (nothing["accuracy"], nothing["accuracy_lower_95"]) == (None, 0.0)


def test_groups_in_order() -> None:
    outcomes = [made("PRIMARY", "PRIMARY", lang=lang) for lang in ("fr", "en", "en", "de")]
    assert list(by(outcomes, lambda one: (one.lang,))) == ["en", "de", "fr"]
    assert list(by(outcomes, lambda one: (one.lang,), ("de", "it", "fr"))) == ["de", "fr"]


def test_shapes_of_a_request() -> None:
    plain = shapes_of(features("hi"))
    assert plain == (
        "without a system prompt",
        "without tools",
        "without earlier turns",
        "under 60 characters",
    )
    assert set(plain) < set(SHAPE_GROUPS)
    assert shapes_of(features("x" * 60))[3] == "60 to 299 characters"
    assert shapes_of(features("x" * 1500))[3] == "1,500 or more"


def test_the_classifier_away() -> None:
    away = classifier_away(
        [
            made("PRIMARY", None, away="PRIMARY"),
            made("ENRICH", None, away="PRIMARY"),
            made("COMPLEX", "COMPLEX", away="COMPLEX"),
            made("ENRICH", None, away="COMPLEX"),
        ]
    )
    assert (away["accuracy"], away["hard_answered_locally"]) == (0.5, 0.25)


def test_flips_count_prompts_decided_both_times() -> None:
    same, abstains = made("ENRICH", "ENRICH"), made("ENRICH", None)
    found = flips([(same, same), (same, made("ENRICH", "PRIMARY")), (same, abstains)])
    assert (found["n"], found["covered_before"], found["both"]) == (3, 3, 2)
    assert (found["flipped"], found["flip_share"]) == (1, 0.5)
    assert found["moves"] == {"ENRICH → PRIMARY": 1}
    assert found["harmful"] == 0.5
