"""Requests to backends that speak Anthropic's Messages API themselves: as the client sent them, but
for what the router always sets or removes. Pure.

Their answers are passed on as they came. Thus what a chat completion cannot express arrives:
signatures of reasoning, `cache_control`, tools that the server runs.
"""

from typing import Any

from airouter.dialects import prefix_guard
from airouter.dialects.anthropic_answer import EventsIn, WholeIn
from airouter.domain.dialect import Native, Original, Translator

_PATH = "/v1/messages"


def request(
    original: Original,
    body: dict[str, Any],
    static: str | None,
    changing: list[str],
    guard: list[str] | None,
    level: str | None = None,
) -> Native:
    """The request for such a backend.

    Args:
        body: the same request as a chat completion; its model and limit are taken over.
        static: the router's text before the client's system text.
        changing: the router's texts behind it.
        guard: receives what was changed for the prefix cache; None: nothing is to be.
        level: of reasoning, as the name of the model says it; None: it does not.
    """
    payload = {**original.payload, "model": body["model"]}
    if body.get("max_tokens"):  # else stripped: but this API demands one
        payload["max_tokens"] = body["max_tokens"]
    if guard is not None:
        payload = prefix_guard.guarded_native(payload, guard)
    if level == "off":
        payload["thinking"] = {"type": "disabled"}
    elif level is not None and level != "on":
        payload["output_config"] = {**(payload.get("output_config") or {}), "effort": level}
    if static or changing:
        given = payload.get("system") or []
        blocks = [_text(given)] if isinstance(given, str) else given
        before = [_text(static)] if static else []
        payload["system"] = [*before, *blocks, *map(_text, changing)]
    return Native(_PATH, payload, original.headers, _reader)


def _reader(stream: bool) -> Translator:
    return EventsIn(native=True) if stream else WholeIn(native=True)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
