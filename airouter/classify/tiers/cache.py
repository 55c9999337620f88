"""Tier 2: a cache of earlier decisions on the same request. It stores labels, never answers.

The key is a digest of the user's request, without differences in white space, case, final
punctuation and date lines; of whether tools and images come with it; and, for a follow-up, of the
earlier turns.
"""

import hashlib
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping

from airouter.classify.features import is_follow_up
from airouter.domain.clock import Clock
from airouter.domain.labels import CACHE_SECONDS
from airouter.domain.types import Decision, Features, Verdict

NAME = "cache"
# Only decisions that take time are cached: an instant tier is as fast as the cache.
CACHED_TIERS = frozenset({"encoder", "decision_model", "one_token", "reasoning"})
# Finish reasons of a complete verdict; others (timeout, length, error codes) are not cached.
COMPLETE = frozenset({"", "stop", "label", "none"})

_MAX_ASK = 20_000  # characters; longer requests hardly ever repeat
_SPACE = re.compile(r"\s+")
_DATE_LINE = re.compile(
    r"(?im)^[ \t>*#\[(-]{0,8}(?:the\s+)?(?:current|today'?s|local|system)[ \t]+"
    r"(?:date|time|datetime|timestamp)\b[^\n]{0,80}$"
    r"|^[ \t]*\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"[ \t]*(?:$|(?=\S))"
)
# Final punctuation, but no question mark, which may change the meaning.
_CLOSING = " .!…。！．,;，；、"


def normalised(ask: str) -> str:
    """The text for comparison: NFKC, case-folded, with single spaces and without date lines and
    final punctuation."""
    text = _DATE_LINE.sub("", ask)
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip().rstrip(_CLOSING)


def key_of(features: Features) -> bytes | None:
    """The cache key, 16 bytes; None for a request that is not cached (empty or very long)."""
    if not features.ask or len(features.ask) > _MAX_ASK:
        return None
    ask = normalised(features.ask)
    if not ask:
        return None
    digest = hashlib.blake2b(digest_size=16)
    parts = [ask, f"{features.has_tools:d}{features.has_images:d}{bool(features.task):d}"]
    if is_follow_up(features):
        parts += [f"{role}:{normalised(text)}" for role, text in features.previous]
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return digest.digest()


class CacheTier:
    """Decides on a cache hit and abstains on a miss, in microseconds.

    Mutable state: key → (label, p, expiry), least recently used first, and the number of hits;
    guarded by one lock, under which nothing slow is done.

    Args:
        size: maximum number of entries.
        ttl: seconds by label; decisions with other labels are not cached.
    """

    name = NAME
    instant = True

    def __init__(
        self, clock: Clock, size: int = 10_000, ttl: Mapping[str, float] = CACHE_SECONDS
    ) -> None:
        self._clock = clock
        self._size = size
        self._ttl = ttl
        self._lock = threading.Lock()
        self.hits = 0  # for the metrics
        self._entries: OrderedDict[bytes, tuple[str, float | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def vote(self, features: Features) -> Verdict:
        if not self._entries:
            return Verdict(NAME, None, reason="cache empty")
        started = self._clock.monotonic()
        key = key_of(features)
        entry = self._lookup(key, started) if key else None
        ms = (self._clock.monotonic() - started) * 1000
        if entry is None:
            return Verdict(
                NAME,
                None,
                ms=ms,
                reason="cache miss" if key else "not cacheable: empty or very long",
            )
        return Verdict(NAME, entry[0], p=entry[1], ms=ms, reason="cache hit")

    def store(self, features: Features, decision: Decision) -> bool:
        """Cache a decision if it is cacheable; returns whether it was cached."""
        ttl = self._ttl.get(decision.label)
        key = key_of(features) if ttl and is_cacheable(decision) else None
        if key is None or ttl is None:
            return False
        expires = self._clock.monotonic() + ttl
        with self._lock:
            self._entries[key] = (decision.label, decision.p, expires)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return True

    def _lookup(self, key: bytes, now: float) -> tuple[str, float | None, float] | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if now >= entry[2]:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            self.hits += 1
            return entry


def is_cacheable(decision: Decision) -> bool:
    """Whether a classifier returned this label in a complete answer: not a fallback, a forced
    route, or an answer that timed out or was cut off."""
    if decision.forced or decision.tier not in CACHED_TIERS:
        return False
    named = [
        verdict
        for verdict in decision.verdicts
        if verdict.tier == decision.tier and verdict.label == decision.label
    ]
    return bool(named) and named[-1].finish_reason in COMPLETE
