"""How fast backends read prompts, by their own answers: the price of moving a conversation."""

from collections.abc import Callable, Mapping
from typing import Protocol

from airouter.domain.types import ExchangeRecord
from airouter.telemetry.derived import tokens_of

# Of shorter prompts, the time to the first content says little about reading.
_LEAST_TOKENS = 500
_WEIGHT = 0.3  # of the latest answer in the average


class Reader(Protocol):
    """A backend. `prefill`: prompt tokens per second; None: unknown."""

    prefill: float | None


class PrefillMeter:
    """Sink. Sets the speeds of backends.

    A backend that does not state cached tokens seems faster than it is: of such a one, only turns
    whose conversation was not there before count.

    Args:
        backends: the current ones, by name.
    """

    def __init__(self, backends: Callable[[], Mapping[str, Reader]]) -> None:
        self._backends = backends

    def emit(self, record: ExchangeRecord) -> None:
        backend = self._backends().get(record.backend or "")
        speed = speed_of(record)
        if backend is not None and speed is not None:
            before = backend.prefill
            backend.prefill = speed if before is None else before + _WEIGHT * (speed - before)


def speed_of(record: ExchangeRecord) -> float | None:
    """Prompt tokens per second that an answer shows; None if it shows nothing: it was not streamed,
    others were answered at the same time, or the prompt was short or in the cache."""
    alone = len(record.attempts) == 1 and not record.in_flight
    if not (record.stream and record.outcome == "ok" and alone and record.backend_ttft_ms):
        return None
    tokens, _, cached = tokens_of(record.usage)
    if tokens is None or (cached is None and (record.session_policy or "").startswith("kept")):
        return None
    fresh = tokens - (cached or 0)
    return fresh / (record.backend_ttft_ms / 1000) if fresh >= _LEAST_TOKENS else None
