"""Builds the record of an exchange: each stage adds its results; `freeze()` returns the record."""

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from airouter.domain.types import Decision, ExchangeRecord, Features, Plan, RecordFields

_MAX_QUERY = 500  # characters
_values = attrgetter(*(field.name for field in fields(ExchangeRecord)))


@dataclass(slots=True)
class RecordBuilder(RecordFields):
    """The record of an exchange in progress; written only by the thread that owns the exchange.

    `wanted`: whether it is emitted: for inference requests, not for /health.
    """

    wanted: bool = False
    began: float = 0.0  # seconds of the exchange's clock
    queued_at: float | None = None  # since when it waits for a slot, in seconds of that clock
    _stage: tuple[str, float] | None = None  # the current one, and when it began

    def enter(self, stage: str, at: float) -> None:
        """Start `stage` ("classification_ms", "enrichment_ms" or "inference_ms") at time `at`, in
        seconds of the exchange's clock."""
        self._stage = stage, at
        self.starts_ms[stage.removesuffix("_ms")] = (at - self.began) * 1000

    @property
    def stage(self) -> str | None:
        """The current one, as for `enter()`."""
        return None if self._stage is None else self._stage[0]

    def leave(self) -> None:
        """End the stage; the caller records its duration."""
        self._stage = None

    def stop(self, now: float) -> None:
        """End the exchange at `now`, which also ends the current stage."""
        if self._stage is not None:
            (name, began), self._stage = self._stage, None
            setattr(self, name, (getattr(self, name) or 0.0) + (now - began) * 1000)

    def asked(
        self, endpoint: str, stream: bool, features: Features | None, messages: list[Any]
    ) -> None:
        """Record the client's request, for which a session file is then written."""
        self.endpoint = endpoint
        self.stream = stream
        self.client_messages = messages
        self.save = True
        if features is not None:
            self.user_query = features.ask[:_MAX_QUERY]

    def decided(self, decision: Decision) -> None:
        """Record the decision, which ends the classification."""
        self.leave()
        self.label, self.tier, self.p = decision.label, decision.tier, decision.p
        self.verdicts = decision.verdicts
        self.classification_ms = (
            decision.ms if decision.label != "META" and not decision.forced else 0.0
        )
        self.classification_raw = next((v.raw for v in reversed(decision.verdicts) if v.raw), "")

    def planned(self, plan: Plan) -> None:
        """Record the planned route, which differs from the decision's if it cannot be served."""
        self.route = plan.route
        self.notes.extend(plan.reasons)

    def freeze(self, total_ms: float) -> ExchangeRecord:
        """The finished record; later changes to the builder do not affect it."""
        self.total_ms = total_ms
        self.outcome = self.outcome or "client_gone"
        record = ExchangeRecord(*_values(self))
        self.steps, self.notes, self.attempts = [*self.steps], [*self.notes], [*self.attempts]
        self.starts_ms = dict(self.starts_ms)
        return record
