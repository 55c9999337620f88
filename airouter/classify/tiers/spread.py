"""A tier whose backend has several replicas: the same tier for each of them, of which the least
loaded is asked."""

from collections.abc import Sequence

from airouter.classify.tiers.decision_model import DecisionModelTier
from airouter.classify.tiers.one_token import OneTokenTier
from airouter.classify.tiers.reasoning import ReasoningTier
from airouter.domain.types import Features, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.upstream.backend import Backend
from airouter.upstream.replicas import least_loaded

OneServersTier = DecisionModelTier | OneTokenTier | ReasoningTier


class SpreadTier:
    """Stateless but for its tiers.

    Args:
        replicas: the replicas, each with its tier.
    """

    instant = False

    def __init__(self, replicas: Sequence[tuple[Backend, OneServersTier]]) -> None:
        self._backends = [backend for backend, _ in replicas]
        self._tiers = {backend.name: tier for backend, tier in replicas}
        self.name = replicas[0][1].name

    @property
    def tiers(self) -> list[OneServersTier]:
        """One for each replica."""
        return [*self._tiers.values()]

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        chosen = least_loaded(self._backends)[0]
        return (yield from self._tiers[chosen.name].ask(exchange, features))
