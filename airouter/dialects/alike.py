"""Recognises the events of a stream that differ in their text alone, which are nearly all of it, so
that they need not be parsed one by one."""

from dataclasses import dataclass
from typing import Any

import orjson

_PROBE = "\x01"  # no server's text


@dataclass(frozen=True, slots=True)
class Alike:
    """What comes before and behind the text in each of them.

    `thinking`: the text is reasoning, not answer.
    """

    before: bytes
    behind: bytes
    thinking: bool

    def text_of(self, data: bytes) -> str | None:
        """The text of one whole event that is like the others; None for anything else."""
        if not (data.startswith(self.before) and data.endswith(self.behind)):
            return None
        between = data[len(self.before) : -len(self.behind)]
        if b"\n" in between or b"\r" in between:  # blanks around a value are JSON, but end a line
            return None
        try:
            text = orjson.loads(between)
        except orjson.JSONDecodeError:
            return None
        return text if type(text) is str and text else None


def alike(event: bytes, chunk: dict[str, Any], field: str) -> Alike | None:
    """What the events like this one have in common; None where its text cannot be located.

    Args:
        event: one line of data.
        chunk: the event, parsed: a single choice.
        field: of its delta, the one that holds the text.
    """
    delta = chunk["choices"][0]["delta"]
    probe = {**chunk, "choices": [{**chunk["choices"][0], "delta": {**delta, field: _PROBE}}]}
    return _around(event, delta[field], probe, thinking=field != "content")


def alike_call(event: bytes, chunk: dict[str, Any]) -> Alike | None:
    """As `alike()`, for pieces of the arguments of one tool call.

    Args:
        chunk: the event, parsed: a single choice with a single call, which has arguments.
    """
    choice = chunk["choices"][0]
    call = choice["delta"]["tool_calls"][0]
    same = {**call, "function": {**call["function"], "arguments": _PROBE}}
    delta = {**choice["delta"], "tool_calls": [same]}
    probe = {**chunk, "choices": [{**choice, "delta": delta}]}
    return _around(event, call["function"]["arguments"], probe, thinking=False)


def _around(event: bytes, text: str, probe: dict[str, Any], *, thinking: bool) -> Alike | None:
    """Args:
    probe: the event, parsed, with `_PROBE` instead of the text.
    """
    written = orjson.dumps(text)
    if event[:5] != b"data:" or event.count(b"\n") != 2 or event.count(written) != 1:
        return None
    before, behind = event.split(written)
    try:  # the same characters may stand somewhere else
        same = orjson.loads((before + orjson.dumps(_PROBE) + behind)[5:]) == probe
    except orjson.JSONDecodeError:
        same = False
    return Alike(before, behind, thinking) if same else None
