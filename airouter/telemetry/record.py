"""Builds the record of an exchange: each stage adds its results; `freeze()` returns the record."""

from datetime import datetime
from typing import Any

from airouter.domain.types import (
    AttemptOutcome,
    Decision,
    ExchangeRecord,
    Features,
    Plan,
    Step,
    Verdict,
)

_QUERY_KEPT = 500


class RecordBuilder:
    """Plain attributes, written only by the thread that owns the exchange. Durations are in ms."""

    endpoint = ""
    stream = False
    user_query = ""
    route = "none"
    requested_route = "auto"
    label: str | None = None
    tier: str | None = None
    p: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    classification_raw = ""
    classification_ms = 0.0
    enrichment_ms: float | None = None
    inference_ms = 0.0
    ttft_ms: float | None = None
    usage: dict[str, Any] | None = None
    outcome: str | None = None
    status = 0
    error: str | None = None
    backend: str | None = None
    model: str | None = None
    adjusted: tuple[str, ...] = ()
    speculation: str | None = None
    abort_ms: float | None = None
    wasted_tokens = 0
    client_gone_ms: float | None = None
    save = False
    wanted = False  # whether the exchange is recorded: inference requests are, /health is not

    def __init__(self, id: str, timestamp: datetime, client_ip: str) -> None:
        self.id = id
        self.timestamp = timestamp
        self.client_ip = client_ip
        self.client_messages: list[Any] = []
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.attempts: list[AttemptOutcome] = []
        self._stage: tuple[str, float] | None = None

    def enter(self, stage: str, at: float) -> None:
        """Start `stage` ("classification_ms", "enrichment_ms" or "inference_ms") at time `at`, in
        seconds of the exchange's clock."""
        self._stage = stage, at

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
        self.endpoint = endpoint
        self.stream = stream
        self.client_messages = messages
        self.save = True
        if features is not None:
            self.user_query = features.ask[:_QUERY_KEPT]

    def decided(self, decision: Decision) -> None:
        self.leave()
        self.label, self.tier, self.p = decision.label, decision.tier, decision.p
        self.verdicts = decision.verdicts
        self.classification_ms = (
            decision.ms if decision.label != "META" and not decision.forced else 0.0
        )
        self.classification_raw = next((v.raw for v in reversed(decision.verdicts) if v.raw), "")

    def planned(self, plan: Plan) -> None:
        self.route = plan.route
        self.notes.extend(plan.reasons)

    def freeze(self, total_ms: float) -> ExchangeRecord:
        return ExchangeRecord(
            id=self.id,
            timestamp=self.timestamp,
            client_ip=self.client_ip,
            endpoint=self.endpoint,
            stream=self.stream,
            user_query=self.user_query,
            client_messages=self.client_messages,
            route=self.route,
            requested_route=self.requested_route,
            label=self.label,
            tier=self.tier,
            p=self.p,
            verdicts=self.verdicts,
            classification_raw=self.classification_raw,
            classification_ms=self.classification_ms,
            enrichment_ms=self.enrichment_ms,
            inference_ms=self.inference_ms,
            ttft_ms=self.ttft_ms,
            total_ms=total_ms,
            steps=tuple(self.steps),
            usage=self.usage,
            outcome=self.outcome or "client_gone",
            status=self.status,
            error=self.error,
            backend=self.backend,
            model=self.model,
            adjusted=self.adjusted,
            notes=tuple(self.notes),
            speculation=self.speculation,
            abort_ms=self.abort_ms,
            wasted_tokens=self.wasted_tokens,
            client_gone_ms=self.client_gone_ms,
            attempts=tuple(self.attempts),
            save=self.save,
        )
