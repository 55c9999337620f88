"""A finished request as a row of the index."""

from collections.abc import Mapping
from typing import Any

from airouter.domain.types import ExchangeRecord

# Tiers whose decision is computed; the others wait for a model.
_INSTANT = frozenset({"rules", "cache", "learned", "explicit", "conversation"})

COLUMNS = (
    "id",
    "at",
    "endpoint",
    "stream",
    "requested_model",
    "requested_route",
    "route",
    "label",
    "tier",
    "p",
    "backend",
    "model",
    "outcome",
    "reason",
    "status",
    "total_ms",
    "classification_ms",
    "enrichment_ms",
    "queue_ms",
    "connect_ms",
    "inference_ms",
    "own_ms",
    "ttft_ms",
    "backend_ttft_ms",
    "gap_ms",
    "longest_gap_ms",
    "in_flight",
    "idle_s",
    "max_tokens",
    "inputs",
    "tokens_in",
    "tokens_out",
    "tokens_cached",
    "tokens_wasted",
    "speculation",
    "attempts",
    "test",
    "saved",
)
INSERT = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_MOST = 2**53  # what a backend states must fit the database


def row_of(record: ExchangeRecord) -> tuple[Any, ...]:
    """The values of `COLUMNS`."""
    tokens_in, tokens_out, tokens_cached = tokens_of(record.usage)
    return (
        record.id,
        record.timestamp.timestamp(),
        record.endpoint,
        record.stream,
        record.requested_model,
        record.requested_route,
        record.route,
        record.label,
        record.tier,
        record.p,
        record.backend,
        record.model,
        record.outcome,
        record.reason,
        record.status,
        record.total_ms,
        record.classification_ms,
        record.enrichment_ms,
        record.queue_ms,
        record.connect_ms,
        record.inference_ms,
        own_ms(record),
        record.ttft_ms,
        record.backend_ttft_ms,
        record.gap_ms,
        record.longest_gap_ms,
        record.in_flight,
        record.idle_s,
        None if record.max_tokens is None else min(record.max_tokens, _MOST),
        record.inputs,
        tokens_in,
        tokens_out,
        tokens_cached,
        record.wasted_tokens,
        record.speculation,
        len(record.attempts),
        record.test,
        record.save,
    )


def own_ms(record: ExchangeRecord) -> float | None:
    """The part of a request's time in which nobody was waited for, in ms: neither a backend, nor a
    search, a model that decides, or a slot.

    Returns:
        None for a request that failed or was tried more than once: its parts are not known.
    """
    if record.outcome != "ok" or len(record.attempts) != 1:
        return None
    waited = record.inference_ms + record.queue_ms + (record.enrichment_ms or 0.0)
    if record.tier not in _INSTANT:
        # A speculative answer runs beside the decision.
        beside = record.speculation == "won"
        decided = record.classification_ms
        waited = max(waited, decided) if beside else waited + decided
    return max(0.0, record.total_ms - waited)


def tokens_of(usage: Mapping[str, Any] | None) -> tuple[int | None, int | None, int | None]:
    """(prompt, completion, prompt tokens from the prefix cache), as the backend states them."""
    if usage is None:
        return None, None, None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return (
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _count(cached),
    )


def _count(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    return None
