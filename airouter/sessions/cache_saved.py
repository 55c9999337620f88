"""How fast backends read prompts, and what their prefix caches saved."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from airouter.sessions.find import Row

_LEAST = 256  # tokens that were read: of fewer the first content says little about reading


@dataclass(slots=True)
class Prefill:
    """Of one backend: prompt tokens that it had to read, and the time to the first content, of
    streams with enough of them."""

    tokens: int = 0
    ms: float = 0.0

    def add(self, one: Row) -> None:
        """Take a stream that was answered into account."""
        took, fresh = one["backend_ttft_ms"], (one["tokens_in"] or 0) - (one["tokens_cached"] or 0)
        if one["stream"] and took and fresh >= _LEAST:
            self.tokens += fresh
            self.ms += took

    @property
    def tokens_per_s(self) -> float | None:
        """None: not measured."""
        return 1000 * self.tokens / self.ms if self.ms else None


def cache_saved_ms(cached: Counter[str], prefills: Mapping[str, Prefill]) -> float | None:
    """The time that prefix caches saved, in ms: of each backend its cached tokens ÷ its prefill
    speed. An estimate: the time to the first content is more than that of reading, by a token and
    by what waits in the server. None where the speed of no such backend has been measured.

    Args:
        cached: tokens from the cache by backend.
    """
    saved = [
        1000 * tokens / speed
        for name, tokens in cached.items()
        if name in prefills and (speed := prefills[name].tokens_per_s)
    ]
    return sum(saved) if saved else None
