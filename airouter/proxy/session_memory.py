"""Where conversations are: a bounded memory, by what their requests have in common."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson

from airouter.dialects.blocks import REASONING
from airouter.dialects.prefix_guard import steady
from airouter.planning.sessions import Standing


class SessionMemory:
    """Key → where the conversation is. Of one worker: a turn that another worker answers is new to
    it. Mutable state: the entries, least recently used first; one lock.

    Args:
        size: entries.
        idle: seconds after which an entry is forgotten.
    """

    def __init__(self, size: int = 10_000, idle: float = 86_400) -> None:
        self._size = size
        self._idle = idle
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, Standing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def limit(self, size: int, idle: float) -> None:
        """Other limits from now on."""
        with self._lock:
            self._size, self._idle = size, idle
            self._shrink()

    def remember(self, keys: Sequence[bytes], standing: Standing) -> None:
        """Note where a conversation is, under several keys."""
        with self._lock:
            for key in keys:
                self._entries[key] = standing
                self._entries.move_to_end(key)
            self._shrink()

    def recall(self, key: bytes, now: float) -> Standing | None:
        """Where a conversation is; None if unknown.

        Args:
            now: seconds of the monotonic clock.
        """
        with self._lock:
            standing = self._entries.get(key)
            if standing is None:
                return None
            if now - standing.at > self._idle:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return standing

    def _shrink(self) -> None:
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


def digest(*parts: str | None) -> bytes:
    """A key of several texts."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(b"\1" if part is None else part.encode("utf-8", "replace"))
        made.update(b"\0")
    return made.digest()


def prefix_key(messages: list[Any], owner: str | None) -> bytes:
    """The key of a request by all of its messages: the next turn of the conversation begins with
    them, but for the reasoning in them, which clients or translations leave out later.

    Args:
        owner: the id of the client's key.
    """
    said = [_without_reasoning(message) for message in steady(messages)]
    made = hashlib.blake2b(orjson.dumps(said), digest_size=16)
    made.update((owner or "").encode())
    return made.digest()


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    if message.keys().isdisjoint(REASONING):
        return message
    return {name: value for name, value in message.items() if name not in REASONING}


def before_last_turn(messages: list[Any]) -> list[Any] | None:
    """The messages of the request before: those before the assistant's last turn. None if there was
    none."""
    for i in range(len(messages) - 1, 0, -1):
        if messages[i].get("role") == "assistant":
            return messages[:i]
    return None
