"""A model that works through a list of tool calls, whatever it is asked, and then says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from scripted_backend import Asked

Json = dict[str, Any]
Calls = Sequence[tuple[str, Json]]
DONE = "All five steps are done."


def works_through(calls: Calls, seen: list[Json]) -> Callable[[Asked], None]:
    """A behaviour of a scripted backend, which is asked with the whole conversation each time, so
    that it need not remember anything.

    Args:
        calls: names of tools with their arguments, one a turn.
        seen: receives the bodies of the requests with tools.
    """

    def behave(asked: Asked) -> None:
        body = asked.body
        names = {tool["function"]["name"] for tool in body.get("tools") or ()}
        if not names >= {name for name, _ in calls}:
            return _say(asked, "A title")  # the agent's housekeeping
        seen.append(body)
        made = [m for m in body["messages"] if m["role"] == "assistant" and m.get("tool_calls")]
        if len(made) < len(calls):
            _call(asked, len(made), *calls[len(made)])
        else:
            _say(asked, DONE)

    return behave


def results(body: Json) -> list[str]:
    """What the tools have answered so far."""
    return [str(m["content"]) for m in body["messages"] if m["role"] == "tool"]


def _say(asked: Asked, text: str) -> None:
    if asked.body.get("stream"):
        asked.stream(*text.split(" ")[:1], *(f" {word}" for word in text.split(" ")[1:]))
    else:
        _whole(asked, {"content": text}, "stop")


def _call(asked: Asked, number: int, name: str, arguments: Json) -> None:
    """In pieces, as a model writes it."""
    said = json.dumps(arguments)
    call: Json = {"index": 0, "id": f"call_{number}", "type": "function"}
    whole = {**call, "function": {"name": name, "arguments": said}}
    if not asked.body.get("stream"):
        return _whole(asked, {"content": None, "tool_calls": [whole]}, "tool_calls")
    asked.stream(f"Step {number + 1}.", finish=False)
    asked.event({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]})
    for at in range(0, len(said), 12):
        piece = {"index": 0, "function": {"arguments": said[at : at + 12]}}
        asked.event({"tool_calls": [piece]})
    asked.event({}, "tool_calls")
    asked.raw(b"data: [DONE]\n\n")


def _whole(asked: Asked, message: Json, reason: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    asked.answer({**answer, "choices": [choice], "usage": usage})
