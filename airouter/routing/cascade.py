"""The ordered list of tiers; the first that does not abstain decides.

An instant tier votes in microseconds. A calling tier asks a backend: it is a generator, so that whatever else the
exchange has under way (a speculative answer) goes on while it waits.
"""

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from airouter.clock import Clock
from airouter.types import Decision, Features, Verdict

# When nothing decides, the primary answers: an error of the router never sends a prompt to the cloud.
FALLBACK_LABEL = "MODERATE"


class InstantTier(Protocol):
    name: str
    instant: bool

    def vote(self, features: Features) -> Verdict: ...


class CallingTier(Protocol):
    name: str
    instant: bool

    def ask(self, exchange: Any, features: Features) -> Generator[Any, None, Verdict]: ...


class Deliberation:
    """One request's way through the tiers: `decision` is set at once, or after `run()`."""

    def __init__(self, tiers: Sequence[Any], features: Features, clock: Clock) -> None:
        self.decision: Decision | None = None
        self._features = features
        self._clock = clock
        self._started = clock.monotonic()
        self._verdicts: list[Verdict] = []
        self._rest = list(tiers)
        while self._rest and self._rest[0].instant and self.decision is None:
            self._weigh(self._rest.pop(0).vote(features))
        if self.decision is None and not self._rest:
            self._fall_back()

    def run(self, exchange: Any) -> Generator[Any, None, Decision]:
        """Ask the remaining tiers; `exchange` is what their waiting belongs to."""
        while self.decision is None and self._rest:
            tier = self._rest.pop(0)
            verdict = tier.vote(self._features) if tier.instant else (yield from tier.ask(exchange, self._features))
            self._weigh(verdict)
        if self.decision is None:
            self._fall_back()
        assert self.decision is not None
        return self.decision

    def _weigh(self, verdict: Verdict) -> None:
        self._verdicts.append(verdict)
        if verdict.label is not None:
            self._decide(verdict.label, verdict.tier, verdict.p, verdict.threshold)

    def _fall_back(self) -> None:
        self._decide(FALLBACK_LABEL, "fallback", None, None)

    def _decide(self, label: str, tier: str, p: float | None, threshold: float | None) -> None:
        elapsed = (self._clock.monotonic() - self._started) * 1000
        self.decision = Decision(label, tier, p, threshold, elapsed, tuple(self._verdicts))


class Cascade:
    """The tiers in the order of the configuration."""

    def __init__(self, tiers: Sequence[InstantTier | CallingTier], clock: Clock) -> None:
        self.tiers = tuple(tiers)
        self._clock = clock

    def deliberate(self, features: Features) -> Deliberation:
        """Run the instant tiers; calling ones, if still needed, are run by `Deliberation.run()`."""
        return Deliberation(self.tiers, features, self._clock)
