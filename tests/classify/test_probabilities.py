"""A decision as the probabilities of labels or routes."""

from __future__ import annotations

import itertools

import pytest

from airouter.classify.probabilities import (
    OPTION_LABELS,
    are_options,
    chosen_option,
    option_probabilities,
)
from airouter.domain.labels import ROUTES
from airouter.domain.types import Decision, Verdict

LABELS4 = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")


def decided(
    label: str, tier: str, p: float | None = None, shares: tuple[float, ...] = ()
) -> Decision:
    """What a tier decides; `shares` are those of PRIMARY, COMPLEX, ENRICH and META."""
    verdict = Verdict(tier, label, p=p, shares=shares)
    return Decision(label, tier, p, None, 1.0, (Verdict("rules", None), verdict))


def test_only_labels_or_only_routes_are_options() -> None:
    assert (*LABELS4, "META") == OPTION_LABELS
    assert are_options(OPTION_LABELS)
    assert are_options(ROUTES)
    assert are_options(("ENRICH", "SIMPLE"))
    for wrong in ((), ("SIMPLE",), ("SIMPLE", "xai"), ("SIMPLE", "SIMPLE"), ("PRIMARY", "ENRICH")):
        assert not are_options(wrong), wrong


def test_they_are_those_of_the_tier_that_decided() -> None:
    found = decided("COMPLEX", "learned", 0.9, (0.04, 0.9, 0.06, 0.0))
    assert option_probabilities(LABELS4, found) == pytest.approx(
        {"SIMPLE": 0, "MODERATE": 0.04, "COMPLEX": 0.9, "ENRICH": 0.06}
    )
    assert option_probabilities(("xai", "primary"), found) == pytest.approx(
        {"xai": 0.9 / 0.94, "primary": 0.04 / 0.94}
    )
    simple = decided("SIMPLE", "encoder", 0.9, (0.9, 0.04, 0.06, 0.0))
    assert option_probabilities(LABELS4, simple)["SIMPLE"] == pytest.approx(0.9)
    assert option_probabilities(("MODERATE", "COMPLEX"), simple)["MODERATE"] > 0.95


def test_what_a_tier_takes_for_a_frontends_prompt_is_the_primarys() -> None:
    """Only the rules decide META."""
    found = decided("MODERATE", "learned", 0.95, (0.03, 0.01, 0.01, 0.95))
    assert option_probabilities(OPTION_LABELS, found)["MODERATE"] == pytest.approx(0.98)
    assert option_probabilities(OPTION_LABELS, found)["META"] == 0


def test_a_tier_without_probabilities_is_nearly_certain() -> None:
    """The other labels share the rest; a generated label is less certain than a rule's."""
    meta = option_probabilities(OPTION_LABELS, decided("META", "rules", 1.0))
    assert meta == pytest.approx(dict.fromkeys(OPTION_LABELS, 0.0025) | {"META": 0.99})
    reasoned = option_probabilities(OPTION_LABELS, decided("ENRICH", "reasoning"))
    assert reasoned["ENRICH"] == pytest.approx(0.9)
    cached = option_probabilities(OPTION_LABELS, decided("ENRICH", "cache", 0.83))
    assert cached["ENRICH"] == pytest.approx(0.83)


def test_meta_counts_for_the_primary_where_it_is_no_option() -> None:
    """Never for the cloud or a search."""
    found = decided("META", "rules", 1.0)
    shares = option_probabilities(("SIMPLE", "COMPLEX", "ENRICH"), found)
    assert shares["SIMPLE"] > 0.99
    assert option_probabilities(("primary", "xai"), found)["primary"] > 0.99
    assert chosen_option(shares, found) == "SIMPLE"


@pytest.mark.parametrize("tier", ["fallback", "patience"])
def test_nothing_is_certain_if_no_tier_decided(tier: str) -> None:
    """All options are equal, and the one that the router takes is chosen."""
    abstained = Verdict("one_token", None, p=0.6, guess="COMPLEX", shares=(0.3, 0.6, 0.1, 0.0))
    found = Decision("MODERATE", tier, None, None, 9.0, (abstained,))
    shares = option_probabilities(LABELS4, found)
    assert set(shares.values()) == {0.25}
    assert chosen_option(shares, found) == "MODERATE"
    assert chosen_option(option_probabilities(ROUTES, found), found) == "primary"


def test_a_fallback_to_the_best_guess_has_its_probabilities() -> None:
    abstained = Verdict("learned", None, p=0.92, guess="COMPLEX", shares=(0.03, 0.92, 0.05, 0.0))
    found = Decision("COMPLEX", "fallback", 0.92, 0.9, 9.0, (abstained, Verdict("x", None)))
    assert option_probabilities(LABELS4, found)["COMPLEX"] == pytest.approx(0.92)


def test_any_options_add_up_to_one_and_the_decision_is_chosen() -> None:
    """Every subset of labels and of routes, for decisions of every kind."""
    decisions = [
        decided(label, tier, p, shares)
        for label in OPTION_LABELS
        for tier, p, shares in (("rules", None, ()), ("cache", 0.8, ()), ("reasoning", None, ()))
    ]
    decisions += [
        decided("COMPLEX", "learned", 1.0, (0.0, 1.0, 0.0, 0.0)),
        decided("SIMPLE", "learned", 0.97, (0.97, 0.01, 0.02, 0.0)),
        Decision("MODERATE", "fallback", None, None, 9.0, ()),
    ]
    for found, names in itertools.product(decisions, (OPTION_LABELS, ROUTES)):
        for n in range(2, len(names) + 1):
            for options in itertools.combinations(names, n):
                shares = option_probabilities(options, found)
                assert tuple(shares) == options
                assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
                own = {found.label, found.route} & {*options}
                assert not own or chosen_option(shares, found) in own
