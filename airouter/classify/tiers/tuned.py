"""The tier after the learned one: a model tuned on the router's own sessions (docs/learning.md).

It sees only requests on which the learned tier abstained, so it changes none of that tier's
decisions. It abstains unless a model that passed the gate is in service.
"""

from dataclasses import replace

from airouter.classify.learned.text_model import Model
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tuned.head import Head
from airouter.classify.tuned.registry import Registry
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.domain.types import Features, Verdict
from airouter.telemetry.logs import Log

NAME = "tuned"


class TunedTier:
    """Mutable state: the models in use, each replaced as a whole by `refresh()`.

    Args:
        base: the learned model, and `digest` the hash of its file.
    """

    name = NAME
    instant = True

    def __init__(
        self, registry: Registry, base: Model, digest: str, clock: Clock, log: Log
    ) -> None:
        self.registry = registry
        self._base = base
        self._digest = digest
        self._clock = clock
        self._log = log
        self._stamp: tuple[int, int] | None = None
        self.service: tuple[str, LearnedTier] | None = None  # the name, and the model
        self.shadow: tuple[str, LearnedTier] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Use the models that the registry names now. Cheap if nothing has changed; one caller at a
        time."""
        stamp = self.registry.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            state = self.registry.state()
        except ConfigError as error:
            self.service = self.shadow = None
            self._log.warning("No tuned model is used: %s", error.message)
            return
        self.service, self.shadow = self._load(state.service), self._load(state.shadow)
        self._log.info(
            "Tuned models: service=%s shadow=%s", _name(self.service), _name(self.shadow)
        )

    def vote(self, features: Features) -> Verdict:
        service = self.service
        if service is None:
            return Verdict(NAME, None, reason="no tuned model is in service")
        # A guess below its threshold was not measured by the gate, so none is left to fall back on.
        return replace(service[1].vote(features), tier=NAME, guess=None)

    def _load(self, name: str | None) -> tuple[str, LearnedTier] | None:
        if name is None:
            return None
        try:
            head = self.registry.open(name)
            if head.base != self._digest or len(head.out) != len(self._base.bias):
                raise ConfigError(f"the tuned model {name} belongs to another learned model")
        except ConfigError as error:
            self._log.warning("The tuned model %s is not used: %s", name, error.message)
            return None
        return name, voter(head, self._base, self._clock)


def voter(head: Head, base: Model, clock: Clock) -> LearnedTier:
    """A model as it votes: with its own thresholds, and the learned tier's other doubts."""
    return LearnedTier(head.on(base), clock, head.thresholds)


def _name(used: tuple[str, LearnedTier] | None) -> str:
    return used[0] if used is not None else "none"
