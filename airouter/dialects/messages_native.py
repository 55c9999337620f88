"""Requests to backends that speak Anthropic's Messages API themselves: as the client sent them, but
for what the router always sets or removes. Pure.

Their answers are passed on as they came. Thus what a chat completion cannot express arrives:
signatures of reasoning, `cache_control`, tools that the server runs.
"""

from typing import Any

from airouter.dialects import prefix_guard
from airouter.dialects.anthropic_answer import EventsIn, WholeIn
from airouter.dialects.thinking import budget_of
from airouter.domain.dialect import Native, Original, Translator

_PATH = "/v1/messages"


def request(
    original: Original,
    body: dict[str, Any],
    static: str | None,
    changing: list[str],
    guard: list[str] | None,
    level: str | None = None,
    *,
    in_tokens: bool = False,
) -> Native:
    """The request for such a backend.

    Args:
        body: the same request as a chat completion; its model and limit are taken over.
        static: the router's text before the client's system text.
        changing: the router's texts behind it.
        guard: receives what was changed for the prefix cache; None: nothing is to be.
        level: of reasoning, as the name of the model says it; None: it does not.
        in_tokens: the model is told it as a budget of tokens, not as an effort.
    """
    payload = {**original.payload, "model": body["model"]}
    if body.get("max_tokens"):  # else stripped: but this API demands one
        payload["max_tokens"] = body["max_tokens"]
    if guard is not None:
        payload = prefix_guard.guarded_native(payload, guard)
    if level is not None:
        _reason(payload, level, in_tokens=in_tokens)
    if static or changing:
        given = payload.get("system") or []
        blocks = [_text(given)] if isinstance(given, str) else given
        before = [_text(static)] if static else []
        payload["system"] = [*before, *blocks, *map(_text, changing)]
    return Native(_PATH, payload, original.headers, _reader)


def _reason(payload: dict[str, Any], level: str, *, in_tokens: bool) -> None:
    """Have the model reason as its name says, whatever else the client says."""
    forced = (payload.get("tool_choice") or {}).get("type") in ("any", "tool")
    if level == "off" or (in_tokens and forced):  # a forced call is made without a thought
        payload["thinking"] = {"type": "disabled"}
    elif in_tokens:
        payload["thinking"] = thinking = budget_of(level)
        if payload["max_tokens"] <= thinking["budget_tokens"]:
            payload["max_tokens"] += thinking["budget_tokens"]  # which counts as a part of it
        for name in ("temperature", "top_p", "top_k"):  # not to be combined with it
            payload.pop(name, None)
    else:
        payload["output_config"] = {**(payload.get("output_config") or {}), "effort": level}
        if (payload.get("thinking") or {}).get("type") == "disabled":
            del payload["thinking"]


def _reader(stream: bool) -> Translator:
    return EventsIn(native=True) if stream else WholeIn(native=True)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
