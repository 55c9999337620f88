"""What follows from the record of a request: the router's own part of its time, and its tokens."""

from collections.abc import Mapping
from typing import Any

from airouter.domain.types import ExchangeRecord

MOST = (
    2**53
)  # the largest number of tokens that is believed; a float and a database hold it exactly
# Tiers whose decision is computed; the others wait for a model.
INSTANT = frozenset({"rules", "cache", "learned", "tuned", "explicit", "conversation"})


def own_ms(record: ExchangeRecord) -> float | None:
    """The router's own share of a request's time, in ms: without waiting for a slot, a model that
    decides, a search or a backend.

    Returns:
        None for a request that failed or was tried more than once: its parts are not known.
    """
    if record.outcome != "ok" or len(record.attempts) != 1:
        return None
    waited = record.inference_ms + record.queue_ms + (record.enrichment_ms or 0.0)
    if record.tier not in INSTANT:
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
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return value
    return None
