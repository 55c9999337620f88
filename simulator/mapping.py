"""Answers as the mapper's model does: labels from the list in its prompt, as JSON.

Of every hundred answers, so many are invalid, or unsure, as the role's settings say: exactly, not
by chance.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from simulator.profiles import RoleProfile

_MARK = "normalise the output of content detectors"
_LABELS = re.compile(r"^([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)+): ", re.MULTILINE)
_MOST = 3  # labels: more might not fit into the tokens that are asked for
UNKNOWN = "OTHER.Unknown"
_INVALID = "I would call this harmful, but I cannot say which label it is."


class Mapping:
    """Mutable state: how many it has answered."""

    def __init__(self) -> None:
        self._answered = 0

    def answer(self, profile: RoleProfile, text: str, asked: str) -> str | None:
        """The answer; None if it is no request of the mapper.

        Args:
            text: the whole prompt.
            asked: the last message.
        """
        if _MARK not in text:
            return None
        number, self._answered = self._answered, self._answered + 1
        if _is_one(number, profile.mapping_invalid):
            return _INVALID
        labels = _meant(_LABELS.findall(text), asked)
        unsure = _is_one(number, profile.mapping_unsure, 0.5)
        answer: dict[str, Any] = {
            "taxonomy": labels,
            "scores": dict.fromkeys(labels, 0.95),
            "confidence": 0.3 if unsure else 0.9,
        }
        return orjson.dumps(answer).decode()


def _is_one(number: int, share: float, offset: float = 0.0) -> bool:
    """Whether this one is among the share, evenly spread: the first of them comes earlier by the
    offset, a part of their distance."""
    offset += 1e-9
    return int((number + 1) * share + offset) > int(number * share + offset)


def _meant(labels: list[str], asked: str) -> list[str]:
    """Labels whose last name begins like a word of the output; OTHER.Unknown if there are none."""
    words = {word[:4] for word in re.findall(r"[a-z]{3,}", asked.lower())}
    found = [label for label in labels if label.rpartition(".")[2].lower()[:4] in words]
    return list(dict.fromkeys(found))[:_MOST] or [UNKNOWN]
