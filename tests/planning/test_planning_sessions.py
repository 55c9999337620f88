"""The rule by which a turn leaves the backend of the turn before."""

from __future__ import annotations

import pytest

from airouter.domain.types import Decision, Plan
from airouter.planning.sessions import Standing, is_sure, weigh
from airouter.settings.sessions import SessionSettings

SETTINGS = SessionSettings()
HERE = Standing("MODERATE", "primary", "local", 0.0)
AWAY = Standing("COMPLEX", "xai", "cloud", 0.0)
UP, DOWN = Plan("xai", ("cloud",)), Plan("primary", ("local",))


def decision(label: str, p: float | None = None, tier: str = "reasoning") -> Decision:
    return Decision(label, tier, p, None, 0.0, ())


@pytest.mark.parametrize(
    ("p", "tier", "sure"),
    [
        (0.95, "learned", True),
        (0.9, "one_token", True),
        (0.89, "learned", False),
        (None, "reasoning", True),
        (0.99, "fallback", False),
        (None, "fallback", False),
        (None, "patience", False),
    ],
)
def test_what_is_sure(p: float | None, tier: str, sure: bool) -> None:
    """A tier's own decision with enough probability, or the classifier's; never a guess."""
    assert is_sure(decision("COMPLEX", p, tier), SETTINGS) is sure


@pytest.mark.parametrize(
    ("standing", "label", "p", "plan", "price", "says"),
    [
        (HERE, "COMPLEX", 0.95, UP, 500.0, "moved; sure COMPLEX"),
        (HERE, "COMPLEX", 0.7, UP, 0.1, "kept; unsure COMPLEX"),
        (AWAY, "MODERATE", 0.95, DOWN, 9.9, "moved; sure MODERATE, price 9.9 s"),
        (AWAY, "MODERATE", 0.95, DOWN, 10.4, "kept; price 10.4 s"),
        (AWAY, "SIMPLE", 0.5, DOWN, 0.1, "kept; unsure SIMPLE"),
        (HERE, "MODERATE", None, Plan("primary", ("coder",)), 42.0, "kept; price 42.0 s"),
    ],
)
def test_a_move_has_to_be_sure_and_worth_its_price(
    standing: Standing, label: str, p: float | None, plan: Plan, price: float, says: str
) -> None:
    moves, policy = weigh(standing, decision(label, p), plan, price, SETTINGS)
    assert (moves, policy) == (says.startswith("moved"), says)


def test_a_short_follow_up_moves_up_only() -> None:
    """ "and in Python?" depends on the turns before; "now prove it" as well, but may need more."""
    down = weigh(AWAY, decision("MODERATE"), DOWN, 0.1, SETTINGS, short=True)
    assert down == (False, "kept; short follow-up")
    assert weigh(HERE, decision("COMPLEX"), UP, 0.1, SETTINGS, short=True)[0]


def test_what_was_escalated_stays() -> None:
    stuck = Standing("COMPLEX", "xai", "cloud", 0.0, escalated=True)
    assert weigh(stuck, decision("SIMPLE", 1.0), DOWN, 0.0, SETTINGS) == (False, "kept; escalated")


def test_a_stated_task_chooses_among_the_local_ones() -> None:
    coder = Plan("primary", ("coder",), row="code: coder")
    doubtful = decision("MODERATE", 0.5)
    moves = weigh(HERE, doubtful, coder, 99.0, SETTINGS, stated=True)
    assert moves == (True, "moved; stated task")
    assert not weigh(AWAY, doubtful, coder, 99.0, SETTINGS, stated=True)[0]
