"""The rules by which the classifier role labels queries, and the probabilities of the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from simulator.text import label_tokens

LABELS: tuple[str, ...] = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")

_QUERY_LINE = re.compile(r"^Query:", re.MULTILINE)
_FRESH = re.compile(r"\b(news|today|latest|weather|prices?|scores?|current)\b", re.IGNORECASE)
_HARD = re.compile(
    r"\b(prove|theorem|derive|novel|research-level|olympiad|design a distributed)\b",
    re.IGNORECASE,
)

_UNRELATED: tuple[tuple[str, float], ...] = (
    ("<think>", 0.05),
    ("Okay", 0.04),
    (" The", 0.02),
    ("\n", 0.01),
)
_CHOSEN = 0.7
_OTHERS = 0.15


def query_of(prompt: str) -> str:
    """The user's words inside a classifier's prompt: what follows the last line that starts with
    "Query:"."""
    return _QUERY_LINE.split(prompt)[-1].strip()


def classify(query: str) -> str:
    if _FRESH.search(query):
        return "ENRICH"
    if _HARD.search(query):
        return "COMPLEX"
    return "SIMPLE" if len(query.split()) <= 6 else "MODERATE"


def choose(label: str, choices: Sequence[str]) -> str:
    """The choice that represents the label."""
    wanted = [label, "PRIMARY"] if label in ("SIMPLE", "MODERATE") else [label]
    for name in wanted:
        for choice in choices:
            if choice.strip().upper() == name:
                return choice
    return choices[0]


def first_token_probabilities(
    label: str, labels: Sequence[str], given: Any = None
) -> dict[str, float]:
    """Log-probabilities of the first token, not masked by a grammar: they include unrelated tokens.

    `given` maps labels to probabilities, for tests of confidence.
    """
    probabilities: dict[str, float] = dict(_UNRELATED)
    others = [name for name in labels if name != label]
    for name in labels:
        share = _CHOSEN if name == label else _OTHERS / max(1, len(others))
        if isinstance(given, dict):
            value = given.get(name, 0.0)
            share = float(value) if isinstance(value, int | float) else 0.0
        token = label_tokens(name)[0]
        probabilities[token] = probabilities.get(token, 0.0) + share
    return {token: round(math.log(max(p, 1e-9)), 4) for token, p in probabilities.items()}
