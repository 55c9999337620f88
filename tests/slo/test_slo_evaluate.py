"""Burn rates, error budgets, and the states of an alert."""

from __future__ import annotations

import pytest

from airouter.slo.counts import Counts
from airouter.slo.evaluate import Condition, State, advanced, budget_left, conditions, summary
from airouter.slo.objectives import Alert, Measure, Objective, Profile

NOW = 1_800_000_000.0
MINUTE = int(NOW // 60)
OBJECTIVE = Objective("x-fast", "p", "x is fast", Measure("available"), 0.99)
TABLE = Alert("TooSlow", "p", "x-fast", 0.05, 300, 300, "warning", "x is slow", "x")
PROFILE = Profile("p", (OBJECTIVE,), (TABLE,))


def counts(*spans: tuple[int, int, int, int]) -> Counts:
    """Events per minute: (from, to, good, bad), minutes ago, the oldest first."""
    made = Counts()
    for first, last, good, bad in spans:
        for ago in range(first, last - 1, -1):
            made.add("x-fast", MINUTE - ago, good, bad)
    return made


def active(made: Counts) -> set[tuple[str, str]]:
    return {(c.name, c.severity) for c in conditions([PROFILE], made, NOW) if c.active}


FAST, SLOW = ("XFastBudgetBurn", "critical"), ("XFastBudgetBurn", "warning")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (counts(), set()),
        (counts((59, 0, 100, 1)), set()),  # 1 %: the budget lasts as long as it should
        (counts((59, 0, 850, 150)), {FAST, SLOW, ("TooSlow", "warning")}),  # 15 times as fast
        (counts((59, 0, 860, 140)), {FAST, SLOW, ("TooSlow", "warning")}),  # 14: in 6 hours, too
        (
            counts((119, 40, 0, 100), (39, 0, 100, 0)),
            {SLOW},
        ),  # it is over: the short windows say so
        (counts((4319, 0, 98, 2)), {SLOW}),  # 2 times as fast for three days
        (counts((4319, 0, 1000, 10)), set()),  # exactly as fast as allowed
        (counts((359, 0, 930, 70)), {FAST, SLOW, ("TooSlow", "warning")}),  # 7 for 6 hours
        (counts((4319, 10, 100, 0), (9, 0, 94, 6)), {("TooSlow", "warning")}),
        (counts((4319, 10, 100, 0), (9, 0, 95, 5)), set()),  # exactly 5 %
    ],
)
def test_which_alerts_are_active(made: Counts, expected: set[tuple[str, str]]) -> None:
    assert active(made) == expected


def test_an_informational_objective_is_never_alerted() -> None:
    quiet = Objective("x-fast", "p", "", Measure("available"), 0.99, informational=True)
    found = conditions([Profile("p", (quiet,))], counts((59, 0, 0, 100)), NOW)
    assert [*found] == []


def condition(active: bool, lasting: float = 300.0) -> Condition:
    return Condition("x", "x", "warning", active, 0.1, 0.05, lasting, "", "")


def test_an_alert_is_pending_then_firing_then_resolved_then_gone() -> None:
    state = advanced(None, condition(False), 0)
    assert state is None
    state = advanced(state, condition(True), 10)
    assert state == State("pending", 10)
    state = advanced(state, condition(True), 309)
    assert state == State("pending", 10)
    state = advanced(state, condition(True), 310)
    assert state == State("firing", 310)
    state = advanced(state, condition(True), 1000)
    assert state == State("firing", 310)
    state = advanced(state, condition(False), 1030)
    assert state == State("resolved", 1030)
    assert advanced(state, condition(True), 1060) == State("pending", 1060)
    assert advanced(state, condition(False), 1030 + 86_399) == state
    assert advanced(state, condition(False), 1030 + 86_400) is None


def test_what_was_pending_only_leaves_no_trace() -> None:
    assert advanced(State("pending", 10), condition(False), 40) is None


def test_one_without_a_duration_fires_at_once() -> None:
    assert advanced(None, condition(True, 0.0), 10) == State("firing", 10)


@pytest.mark.parametrize(
    ("good", "bad", "left"), [(1000, 0, 1.0), (995, 5, 0.5), (990, 10, 0.0), (980, 20, -1.0)]
)
def test_the_budget_that_is_left(good: int, bad: int, left: float) -> None:
    made = counts((10, 10, good, bad))
    assert budget_left(OBJECTIVE, made, NOW) == pytest.approx(left)
    said = summary(OBJECTIVE, made, NOW)
    assert said["budget_left"] == pytest.approx(left)
    assert (said["good"], said["bad"]) == (good, bad)
    assert said["burn_rates"]["5m"] is None


def test_without_events_there_is_no_budget_to_speak_of() -> None:
    assert budget_left(OBJECTIVE, counts(), NOW) is None
