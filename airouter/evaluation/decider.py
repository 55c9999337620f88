"""Runs a cascade on single requests, for `evaluate` and `replay`."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from airouter.classify.assemble import build_tiers
from airouter.classify.cascade import Cascade, InstantTier
from airouter.classify.tiers.encoder import EncoderTier
from airouter.domain.clock import Clock
from airouter.domain.types import Decision, Features, Verdict
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange
from airouter.settings.schema import CascadeSettings
from airouter.telemetry.logs import SILENT

# The tiers that decide without a call to a model server. Requests that they decide are covered.
COVERING_TIERS = frozenset({"rules", "cache", "learned", "tuned", "encoder"})
_TIMEOUT = 60.0  # seconds for a decision without calls: far more than it takes

# Runs the cascade for one request. May raise RouterError if it calls backends.
Decider = Callable[[Features], Decision]


class Deciders(NamedTuple):
    """`decide`: the cascade. `away`: the same while no model server can be asked, with its
    fallback."""

    decide: Decider
    away: Decider


def deciders(cascade: Cascade, total: float) -> Deciders:
    """Both ways to decide with a cascade.

    Args:
        total: timeout of one decision, in seconds; deciding then raises DeadlineExceeded.
    """
    return Deciders(decider(cascade, total), decider(_without_calls(cascade), total))


def decider(cascade: Cascade, total: float) -> Decider:
    """A function that runs the cascade for one request, with the classifier if necessary.

    Args:
        total: timeout of one decision, in seconds; the function then raises DeadlineExceeded.
    """

    def decide(features: Features) -> Decision:
        deliberation = cascade.deliberate(features)
        if deliberation.decision is not None:
            return deliberation.decision
        exchange = Exchange(cascade.clock, client=None, client_ip="", total=total)
        try:
            return complete(exchange, deliberation.run(exchange))
        finally:
            exchange.close()

    return decide


def local_deciders(settings: CascadeSettings) -> Deciders:
    """The configured tiers that call no model server, and nothing else. If all of them abstain, the
    label of `decide` is "".

    Raises:
        ConfigError: the learned model is missing or invalid.
    """
    names = tuple(name for name in settings.tiers if name in COVERING_TIERS and name != "cache")
    clock = Clock()
    tiers = build_tiers(settings.model_copy(update={"tiers": names}), {}, {}, SILENT, clock)
    for tier in tiers:
        if isinstance(tier, EncoderTier):
            tier.load()
    timed = [_Timed(tier) if tier.instant else tier for tier in tiers]  # type: ignore[arg-type]
    away = decider(Cascade(timed, clock, settings.fallback_min_p.complex), _TIMEOUT)

    def decide(features: Features) -> Decision:
        decision = away(features)
        return replace(decision, label="") if decision.tier == "fallback" else decision

    return Deciders(decide, away)


def _without_calls(cascade: Cascade) -> Cascade:
    """The cascade's covering tiers; without the cache, which has decisions of calling tiers."""
    tiers = [one for one in cascade.tiers if one.name in COVERING_TIERS and one != cascade.cache]
    least, enrich = cascade.fallback_min_p, cascade.fallback_min_p_enrich
    return Cascade(tiers, cascade.clock, least, fallback_min_p_enrich=enrich)


class _Timed:
    """An instant tier whose verdicts say how long they took: the rules leave that out."""

    instant = True

    def __init__(self, tier: InstantTier) -> None:
        self.name = tier.name
        self._tier = tier

    def vote(self, features: Features) -> Verdict:
        began = time.perf_counter()
        verdict = self._tier.vote(features)
        return replace(verdict, ms=(time.perf_counter() - began) * 1000)
