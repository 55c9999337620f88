"""Statistics of a role: counters, aborted requests, and the last requests received."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

BODY_LIMIT = 20_000
_KEEP_LIMIT = 200_000


@dataclass(slots=True)
class Seen:
    """A request as received; formatted only on demand."""

    at: float
    path: str
    headers: Mapping[str, str]
    raw: bytes
    faults: list[str] = field(default_factory=list)
    summary: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # 200 requests with images would need too much memory: only their summaries are kept.
        if len(self.raw) > _KEEP_LIMIT:
            self.summary = {**self._words(), "params": {}}
            self.raw = b""

    def as_dict(self) -> dict[str, Any]:
        return {**(self.summary or self._words()), "faults": self.faults}

    def _words(self) -> dict[str, Any]:
        try:
            body = orjson.loads(self.raw)
        except ValueError:
            body = None
        fields = body if isinstance(body, dict) else {}
        messages = fields.get("messages")
        key = self.headers.get("Authorization", "")
        headers = {
            str(name): value
            for name, value in self.headers.items()
            if name.lower() != "authorization"
        }
        return {
            "at": self.at,
            "path": self.path,
            "headers": headers,
            "authorized": bool(key),
            "key_last4": key[-4:] if key else "",
            "model": fields.get("model"),
            "stream": bool(fields.get("stream")),
            "body_keys": sorted(fields),
            "messages": len(messages) if isinstance(messages, list) else 0,
            "params": {
                name: fields[name] for name in fields if name not in ("messages", "input", "prompt")
            },
            "body": self.raw[:BODY_LIMIT].decode("utf-8", "replace"),
        }


@dataclass(slots=True)
class Stats:
    started: int = 0
    finished: int = 0
    aborted: int = 0
    tokens_generated: int = 0
    tokens_wasted: int = 0
    connections_open: int = 0
    connections_opened: int = 0
    prefix_cache_hits: int = 0  # blocks
    prefix_tokens_queried: int = 0
    prefix_tokens_hit: int = 0
    searches: int = 0
    by_path: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    aborts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))
    requests: deque[Seen] = field(default_factory=lambda: deque(maxlen=200))

    def abort(self, phase: str, after_ms: float, at: float, tokens: int) -> None:
        self.aborted += 1
        self.tokens_wasted += tokens
        self.aborts.append(
            {"phase": phase, "after_ms": round(after_ms, 3), "at": at, "tokens_generated": tokens}
        )

    def reset(self) -> None:
        """Reset all counters except open connections."""
        fresh = Stats(connections_open=self.connections_open)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def as_dict(self) -> dict[str, Any]:
        result = {name: getattr(self, name) for name in self.__slots__}
        result["by_path"] = dict(self.by_path)
        result["faults"] = dict(self.faults)
        result["aborts"] = list(self.aborts)
        result["requests"] = [seen.as_dict() for seen in self.requests]
        return result
