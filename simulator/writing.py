"""Readable answers: sentences that say that they are made up, and JSON for a frontend's own
prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from simulator.prompts import bad_request
from simulator.schemas import value_for
from simulator.text import HEAD_END, split_text

_ASK_CHARS = 160
_POINTS: tuple[str, ...] = (
    "A real model would begin with the main point.",
    "It would then give the reason in a sentence or two.",
    "After that it would show an example, with figures where the question asks for them.",
    "It would name what is certain, and keep it apart from what is only likely.",
    "It would say which assumption the answer depends on.",
    "Where there are two ways to do it, it would compare them.",
    "It would point out the mistake that is made most often here.",
    "A longer question would get a longer answer than this one.",
    "What was said earlier in the conversation would be taken into account.",
    "If something was missing from the question, it would ask for it.",
    "It would mention what has changed lately, if it knew about that.",
    "At the end it would sum up what to remember.",
)

# JSON requested by frontend prompts: the key of the object given as an example.
_WANTED = re.compile(r'\\?"(title|tags|follow_ups|queries|text)\\?"\s*:')
_HISTORY = re.compile(r"<chat_history>.*?</chat_history>", re.DOTALL)
_FIRST_ASK = re.compile(r"^(?:#+ *)?USER:\s*(.+)$", re.MULTILINE | re.IGNORECASE)


def sentences(
    model: str, ask: str, most: float, *, searched: bool = False, variant: int = 0
) -> tuple[str, ...]:
    """An answer of about `most` tokens at most, in complete sentences with numbered points.

    Args:
        searched: the question contains search results; the answer mentions them.
        variant: which of several answers to the same question.
    """
    asked = " ".join(ask.split())
    shown = asked if len(asked) <= _ASK_CHARS else asked[: _ASK_CHARS - 1].rstrip() + "…"
    text = (
        f"This is a simulated answer from {model}: no model has read the question, and {HEAD_END}"
    )
    text += f"You asked: “{shown}”\n" if shown else "The question was empty.\n"
    text += "Search results came with the question.\n" if searched else ""
    for number in range(1, 1000):
        line = f"\n{number}. {_POINTS[(number - 1 + variant) % len(_POINTS)]}"
        if number > 1 and len(split_text(text + line)) > most:
            break
        text += line
    return split_text(text)


def housekeeping(ask: str) -> str | None:
    """The JSON that a frontend requests (title, tags, follow-up questions, search queries); None if
    none."""
    outside = _HISTORY.sub("", ask)
    found = _WANTED.search(outside)
    if found is None or "json" not in outside.lower():
        return None
    if found[1] == "text" and "### Task" not in outside:
        return None  # too common a key to identify a completion elsewhere
    first = _FIRST_ASK.search(ask)
    words = re.findall(r"[^\W_]+", first[1] if first else "")[:4]
    topic = " ".join(words) or "This Conversation"
    answers: dict[str, Any] = {
        "title": f"💬 Simulated: {topic.title()}",
        "tags": ["Simulated", "General"],
        "follow_ups": [
            f"Can you say more about “{topic}”?",
            "Could you give a simulated example?",
            "What would a real model answer?",
        ],
        "queries": [topic, f"{topic} explained"],
        "text": "and this is a simulated completion",
    }
    return _json({found[1]: answers[found[1]]})


def structured(body: dict[str, Any], text: Callable[[], str]) -> str | None:
    """The JSON required by the request's format; None if free text is allowed.

    Args:
        text: the answer without a format; included in a `json_object`.

    Raises:
        ApiError: the format is not supported.
    """
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return _json({"simulated": True, "answer": text()})
    if kind == "json_schema":
        holder = wanted.get("json_schema") if isinstance(wanted, dict) else None
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if not isinstance(schema, dict):
            raise bad_request(
                "response_format.json_schema.schema must be an object", "response_format"
            )
        return _json(value_for(schema))
    constraint = body.get("structured_outputs")
    schema = constraint.get("json") if isinstance(constraint, dict) else body.get("guided_json")
    return _json(value_for(schema)) if isinstance(schema, dict) else None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def lm_tokens(text: str) -> tuple[str, ...]:
    """JSON in token-sized pieces: short words and punctuation."""
    return tuple(re.findall(r"\s*\w{1,8}|\s*[^\w\s]{1,3}|\s+", text))
