"""Tier 2: what was decided before for the same ask. Remembers labels, never answers.

A key is the human's ask without what a frontend or a hand adds to it (white space, case, closing punctuation, date lines),
whether tools and images come with it, and, where the ask leans on the turns before it, a digest of those turns.
"""

import hashlib
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping

from airouter.domain.clock import Clock
from airouter.domain.labels import CACHE_SECONDS
from airouter.domain.types import Decision, Features, Verdict

NAME = "cache"
# Tiers whose decisions are worth remembering: those that cost a call. An instant tier is as fast as the cache.
REMEMBERED_TIERS = frozenset({"one_token", "reasoning"})
# Finish reasons of a verdict that ended properly; anything else (timeout, length, an error code) is not kept.
_PROPER_ENDS = frozenset({"", "stop", "label", "none"})

_MAX_ASK = 20_000  # characters; a longer ask is not kept, it hardly comes twice
_LEANING = 60  # characters; a shorter ask after other turns is taken to lean on them
_SPACE = re.compile(r"\s+")
_DATE_LINE = re.compile(
    r"(?im)^[ \t>*#\[(-]{0,8}(?:the\s+)?(?:current|today'?s|local|system)[ \t]+(?:date|time|datetime|timestamp)\b[^\n]{0,80}$"
    r"|^[ \t]*\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ \t]*(?:$|(?=\S))"
)  # fmt: skip
_CLOSING = " .!…。！．,;，；、"  # a question mark stays: it can make another ask of the same words


def normalised(ask: str) -> str:
    """The ask as it is compared: NFKC, case-folded, one space for any white space, no date lines, no closing punctuation."""
    text = _DATE_LINE.sub("", ask)
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip().rstrip(_CLOSING)


def leans(features: Features) -> bool:
    """Whether the ask may mean something else after other turns: it is short and there are such turns."""
    return bool(features.previous) and len(features.ask) < _LEANING


def key_of(features: Features) -> bytes | None:
    """16 bytes that stand for the ask; None for one that is not kept (empty, or very long)."""
    if not features.ask or len(features.ask) > _MAX_ASK:
        return None
    ask = normalised(features.ask)
    if not ask:
        return None
    digest = hashlib.blake2b(digest_size=16)
    parts = [ask, f"{features.has_tools:d}{features.has_images:d}{bool(features.task):d}"]
    if leans(features):
        parts += [f"{role}:{normalised(text)}" for role, text in features.previous]
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return digest.digest()


class CacheTier:
    """Decides when it remembers, else abstains. Costs microseconds.

    Mutable state: key → (label, p, end of its life), least recently used first; one lock, nothing slow inside it.
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
        self._entries: OrderedDict[bytes, tuple[str, float | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def vote(self, features: Features) -> Verdict:
        if not self._entries:
            return Verdict(NAME, None, reason="cache empty")
        started = self._clock.monotonic()
        key = key_of(features)
        entry = self._recall(key, started) if key else None
        ms = (self._clock.monotonic() - started) * 1000
        if entry is None:
            return Verdict(
                NAME,
                None,
                ms=ms,
                reason="cache miss" if key else "not cacheable: empty or very long",
            )
        return Verdict(NAME, entry[0], p=entry[1], ms=ms, reason="cache hit")

    def learn(self, features: Features, decision: Decision) -> bool:
        """Remember a decision; what a fallback, an error, a timeout or a forced route decided is not kept. True when kept."""
        ttl = self._ttl.get(decision.label)
        key = key_of(features) if ttl and worth_keeping(decision) else None
        if key is None or ttl is None:
            return False
        ends = self._clock.monotonic() + ttl
        with self._lock:
            self._entries[key] = (decision.label, decision.p, ends)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return True

    def _recall(self, key: bytes, now: float) -> tuple[str, float | None, float] | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if now >= entry[2]:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry


def worth_keeping(decision: Decision) -> bool:
    """Whether a calling tier named this label properly, without being cut short."""
    if decision.forced or decision.tier not in REMEMBERED_TIERS:
        return False
    named = [
        verdict
        for verdict in decision.verdicts
        if verdict.tier == decision.tier and verdict.label == decision.label
    ]
    return bool(named) and named[-1].finish_reason in _PROPER_ENDS
