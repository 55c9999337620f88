"""One request under way, as seen from outside: its phase, and what is decided so far."""

from typing import Any

from airouter.domain.types import Verdict
from airouter.flow.exchange import Exchange, Progress

_PHASES = {
    "classification_ms": "deciding",
    "enrichment_ms": "searching",
    "inference_ms": "waiting",
}


def phase(exchange: Exchange) -> str:
    """receiving, deciding, queued, searching, waiting (for the first content) or answering."""
    record = exchange.record
    if record.queued_at is not None:
        return "queued"
    if record.ttft_ms is not None:
        return "answering"
    stage = record.stage
    if stage is not None:
        return _PHASES[stage]
    return "waiting" if record.label is not None else "receiving"


def in_flight(exchange: Exchange, now: float, pid: int) -> dict[str, Any]:
    """A row of the requests in flight. Another thread may be changing the exchange meanwhile.

    Args:
        now: seconds of its clock.
    """
    record, state = exchange.record, phase(exchange)
    call = _progress(exchange)
    tokens = rate = None
    if call is not None and call.tokens and record.stream:
        tokens = call.tokens
        if call.first_at is not None and call.last_at is not None and call.last_at > call.first_at:
            rate = round((tokens - 1) / (call.last_at - call.first_at), 1)
    waiting = now - record.queued_at if record.queued_at is not None else 0.0
    return {
        "id": exchange.id8,
        "endpoint": record.endpoint,
        "stream": record.stream,
        "requested_route": record.requested_route,
        "route": None if record.route == "none" else record.route,
        "label": record.label,
        "tier": record.tier,
        "backend": record.backend or (call.backend if call is not None else None),
        "phase": state,
        "age_s": round(now - exchange.started_at, 3),
        "tokens": tokens,
        "tokens_s": rate,
        "queue_s": round(record.queue_ms / 1000 + waiting, 3),
        "speculating": state == "deciding" and call is not None and call.speculative,
        "worker": pid,
        "test": record.test,
    }


def decision(exchange: Exchange) -> dict[str, Any]:
    """What the router has decided about a request so far, and why."""
    record = exchange.record
    call = _progress(exchange)
    running = record.label is None and call is not None and call.speculative
    last = next((v for v in reversed(record.verdicts) if v.tier == record.tier), None)
    return {
        "id": exchange.id8,
        "phase": phase(exchange),
        "route": None if record.route == "none" else record.route,
        "label": record.label,
        "tier": record.tier,
        "p": record.p,
        "threshold": last.threshold if last is not None else None,
        "backend": record.backend or (call.backend if call is not None else None),
        "speculation": record.speculation or ("running" if running else None),
        "verdicts": [told(verdict) for verdict in record.verdicts],
        "attempts": [str(attempt) for attempt in record.attempts],
        "notes": list(record.notes),
    }


def _progress(exchange: Exchange) -> Progress | None:
    look = exchange.progress  # read once: it may be closed meanwhile
    return look() if look is not None else None


def told(verdict: Verdict) -> dict[str, Any]:
    """A verdict without the model's own words, which may quote the conversation."""
    return {
        "tier": verdict.tier,
        "label": verdict.label,
        "guess": verdict.guess,
        "p": verdict.p,
        "threshold": verdict.threshold,
        "ms": round(verdict.ms, 3),
        "reason": verdict.reason,
    }
