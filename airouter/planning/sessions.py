"""Whether a turn leaves the backend of the turn before. Pure.

A turn moves its conversation to the route for COMPLEX only if COMPLEX is sure. It moves it to
another backend only if its decision is sure, it is no short follow-up, and reading the conversation
there takes no longer than `sessions.max_price`.
"""

from airouter.domain.labels import ROUTE_OF_LABEL
from airouter.domain.types import Decision, Plan, immutable
from airouter.settings.sessions import SessionSettings

UP = ROUTE_OF_LABEL["COMPLEX"]
_GUESSES = ("fallback", "patience")  # tiers of decisions that no tier made


@immutable
class Standing:
    """Where a conversation is, after its latest turn.

    `route`: whose backends are asked where `backend` fails. `at`: seconds of the monotonic clock.
    `escalated`: moved because its agent was stuck. `images`: it has had some. `forced`: the client
    chose the route itself.
    """

    label: str
    route: str
    backend: str
    at: float
    escalated: bool = False
    images: bool = False
    forced: bool = False


def is_sure(decision: Decision, settings: SessionSettings) -> bool:
    """Whether a decision may move a conversation: a tier made it, with `sessions.sure_p` or without
    a probability."""
    if decision.tier in _GUESSES:
        return False
    return decision.p is None or decision.p >= settings.sure_p


def weigh(
    standing: Standing,
    decision: Decision,
    plan: Plan,
    price: float,
    settings: SessionSettings,
    *,
    short: bool = False,
    stated: bool = False,
) -> tuple[bool, str]:
    """Whether a turn moves its conversation to the plan's backend, and the reason, as
    X-Router-Session-Policy says it.

    Args:
        plan: of the decision alone; its first backend is not that of the turn before.
        price: seconds for reading the conversation there.
        short: it is a short follow-up, which depends on the turns before.
        stated: the client states a task, which chose the backend.
    """
    label = decision.label
    if standing.escalated:
        return False, "kept; escalated"
    if stated and standing.route != UP and plan.route != UP:
        return True, "moved; stated task"
    if not is_sure(decision, settings):
        return False, f"kept; unsure {label}"
    if plan.route == UP:
        return True, f"moved; sure {label}"
    if short:
        return False, "kept; short follow-up"
    if price > settings.max_price:
        return False, f"kept; price {price:.1f} s"
    return True, f"moved; sure {label}, price {price:.1f} s"
