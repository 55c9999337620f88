"""Where a tool conversation began, so that it stays there: a bounded memory of message prefixes."""

import hashlib
import threading
from collections import OrderedDict
from typing import Any

import orjson

from airouter.dialects.prefix_guard import steady


class ConversationMemory:
    """Hash of a message prefix → (route, backend). Mutable state: the entries, least recently used
    first; one lock."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[str, str]] = OrderedDict()

    def remember(self, messages: list[Any], route: str, backend: str) -> None:
        """Note where a request with tools was answered."""
        key = _key(messages)
        with self._lock:
            self._entries[key] = (route, backend)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def recall(self, messages: list[Any]) -> tuple[str, str] | None:
        """Where the request that these tool results belong to was answered; None if unknown.

        The earlier request's messages are everything before the assistant's last turn.
        """
        for i in range(len(messages) - 1, 0, -1):
            if messages[i].get("role") == "assistant":
                key = _key(messages[:i])
                with self._lock:
                    return self._entries.get(key)
        return None


def _key(messages: list[Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(steady(messages)), digest_size=16).digest()
