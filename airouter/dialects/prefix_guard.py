"""Keeps prompts the same from turn to turn, for backends that cache their prefixes. Pure."""

import re
from typing import Any

_BILLING = "x-anthropic-billing-header:"
# The line, whose value changes with each request, and the empty ones behind it.
_LINE = re.compile(rf"\A\s*{_BILLING}[^\n]*(?:\n[ \t\r]*)*")
NOTE = "billing line left out: it would defeat the prefix cache"


def steady(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without the line that Claude Code puts at the head of its system text: before a
    cached prefix it makes every request new. The same object if there is none."""
    for i, message in enumerate(messages):
        if message.get("role") not in ("system", "developer"):
            return messages
        content = message.get("content")
        kept = _without(content)
        if kept is not content:
            rest = [{**message, "content": kept}] if kept else []
            return [*messages[:i], *rest, *messages[i + 1 :]]
    return messages


def _without(content: Any) -> Any:
    if isinstance(content, str):
        return _LINE.sub("", content) if content.lstrip()[: len(_BILLING)] == _BILLING else content
    if isinstance(content, list) and content and isinstance(content[0], dict):
        first = content[0].get("text")
        kept = _without(first) if isinstance(first, str) else first
        if kept is not first:
            return [*([{**content[0], "text": kept}] if kept else []), *content[1:]]
    return content
