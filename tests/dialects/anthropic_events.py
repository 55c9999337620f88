"""Reads the stream of a message, and checks the order of its events."""

from __future__ import annotations

import json
from typing import Any

_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events, each named as it says it is."""
    events = []
    for one in data.decode().split("\n\n")[:-1]:
        name, line = one.split("\n")
        events.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def message_of(data: bytes) -> dict[str, Any]:
    """The message that a stream makes up.

    Raises:
        AssertionError: the order of its events is not the API's.
    """
    first, ping, *middle, last, stop = events_of(data)
    assert [e["type"] for e in (first, ping, last, stop)] == [
        "message_start", "ping", "message_delta", "message_stop"
    ]  # fmt: skip
    message = first["message"]
    pieces: list[str] = []
    is_open = False
    for event in middle:
        content = message["content"]
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(content)
            content.append(event["content_block"])
            is_open, pieces = True, []
            continue
        assert is_open
        assert event["index"] == len(content) - 1
        block = content[-1]
        if event["type"] == "content_block_stop":
            is_open = False
            if block["type"] == "tool_use" and "".join(pieces):
                block["input"] = json.loads("".join(pieces))
            continue
        assert event["type"] == "content_block_delta"
        kind, field = _DELTAS[event["delta"]["type"]]
        assert kind == block["type"]
        if kind == "tool_use":
            pieces.append(event["delta"][field])
        else:
            block[field] += event["delta"][field]
    assert not is_open
    message |= last["delta"]
    message["usage"] |= last["usage"]
    return dict(message)
