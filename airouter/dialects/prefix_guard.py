"""Keeps prompts the same from turn to turn, for backends that cache their prefixes. Pure: nothing
of the client's is edited.

What changes with each request makes everything behind it new to the cache. A line that says nothing
to the model is removed; a clock is moved to the end of the last message, behind which nothing
stands. A date without a time stays: it changes once a day.
"""

import re
from collections.abc import Iterator
from typing import Any

_BILLING = "x-anthropic-billing-header:"
# The line, whose value changes with each request, and the empty ones behind it.
_LINE = re.compile(rf"\A\s*{_BILLING}[^\n]*(?:\n[ \t\r]*)*")
_HEAD = 2000  # characters of the system text in which a clock is looked for
_MOST = 160  # characters of a line with a clock
_TIME = re.compile(r"(?<![\d:+-])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d:])")
# How a line begins that tells the time, as opposed to one that mentions one.
_NOW = re.compile(
    r"\W*(?:the )?(?:(?:current|local|system)[ _]?(?:local )?(?:date|time|day)|date|time\b"
    r"|timestamp|today|now\b|it(?: is|'s) (?:now|currently))",
    re.IGNORECASE,
)
NOTE = "billing line left out: it would defeat the prefix cache"
_MOVED = "clock of the system text moved to the last message for the prefix cache"
_MARK = "cache_control"
_SYSTEM = ("system", "developer")
_LAST = ("user", "tool")  # messages that may end with a clock: an answer is to be continued

Message = dict[str, Any]


def steady(messages: list[Message]) -> list[Message]:
    """The messages without the line that Claude Code puts at the head of its system text, and
    without a clock there. The same object if there is neither."""
    return _split(messages)[0]


def guarded(messages: list[Message], notes: list[str]) -> list[Message]:
    """The messages of a chat as a backend gets them; the same object if nothing is to be changed.

    Args:
        notes: receives what was changed.
    """
    movable = bool(messages) and messages[-1].get("role") in _LAST
    kept, billing, clocks = _split(messages, movable=movable)
    if clocks:
        kept = [*kept[:-1], _with_clocks(kept[-1], clocks)]
    _tell(notes, billing, clocks)
    return kept


def guarded_native(payload: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """A request to Anthropic's Messages API as a local backend gets it: a new object.

    Args:
        notes: receives what was changed.
    """
    messages = payload["messages"]
    movable = messages[-1].get("role") in (*_LAST, "system")  # Claude Code's reminders
    system, billing, clocks = _without(payload.get("system"), movable=movable)
    if clocks:
        messages = [*messages[:-1], _with_clocks(messages[-1], clocks)]
    _tell(notes, billing, clocks)
    changed = {**payload, "messages": messages}
    if "system" in payload:
        changed["system"] = system
    unmarked: dict[str, Any] = _unmarked(changed)
    return unmarked


def _tell(notes: list[str], billing: bool, clocks: list[str]) -> None:
    notes += [NOTE] if billing else []
    notes += [_MOVED] if clocks else []


def _with_clocks(message: Message, clocks: list[str]) -> Message:
    content, text = message.get("content"), "\n".join(clocks)
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": text}]}
    return {**message, "content": f"{content}\n\n{text}" if content else text}


def _split(
    messages: list[Message], *, movable: bool = True
) -> tuple[list[Message], bool, list[str]]:
    """The messages with the first system message that has something to remove changed; whether the
    billing line was there; the clocks."""
    for i, message in enumerate(messages):
        if message.get("role") not in _SYSTEM:
            break
        content = message.get("content")
        kept, billing, clocks = _without(content, movable=movable)
        if kept is not content:
            rest = [{**message, "content": kept}] if kept else []
            return [*messages[:i], *rest, *messages[i + 1 :]], billing, clocks
    return messages, False, []


def _without(content: Any, *, movable: bool) -> tuple[Any, bool, list[str]]:
    """A system text without its billing line and clocks; the same object if it has none."""
    given = list(_texts(content))
    if not given:
        return content, False, []
    kept, clocks, left = dict(given), [], _HEAD
    first = given[0][1]
    billing = first.lstrip()[: len(_BILLING)] == _BILLING
    if billing:
        kept[given[0][0]] = _LINE.sub("", first)
    for i, text in kept.items() if movable else ():
        if left <= 0:
            break
        kept[i], found = _without_clocks(text, left)
        clocks += found
        left -= len(text)
    if not billing and not clocks:
        return content, False, []
    if isinstance(content, str):
        return kept[0], billing, clocks
    parts = []
    for i, part in enumerate(content):
        if i not in kept or kept[i] == part["text"]:
            parts.append(part)
        elif kept[i].strip():
            parts.append({**part, "text": kept[i]})
    return parts, billing, clocks


def _texts(content: Any) -> Iterator[tuple[int, str]]:
    """The texts of a content, by the index of their part."""
    if isinstance(content, str):
        yield 0, content
    elif isinstance(content, list):
        for i, part in enumerate(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield i, part["text"]


def _without_clocks(text: str, within: int) -> tuple[str, list[str]]:
    """A text without the lines in its beginning that tell the time, and these lines."""
    if not _TIME.search(text, 0, within + _MOST):
        return text, []
    kept, clocks, at = [], [], 0
    for line in text.splitlines(keepends=True):
        if at < within and _tells_time(line):
            clocks.append(line.strip())
        else:
            kept.append(line)
        at += len(line)
    return ("".join(kept), clocks) if clocks else (text, [])


def _tells_time(line: str) -> bool:
    return len(line) <= _MOST and _NOW.match(line) is not None and len(_TIME.findall(line)) == 1


def _unmarked(value: Any) -> Any:
    """Without `cache_control`, whose place moves on with each turn."""
    if isinstance(value, dict):
        # Arguments and schemas are the client's: a property may have that name.
        return {
            name: one if name in ("input", "input_schema") else _unmarked(one)
            for name, one in value.items()
            if name != _MARK
        }
    return [_unmarked(one) for one in value] if isinstance(value, list) else value
