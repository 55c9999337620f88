"""Reads the stream of a response, and checks its events: their order, their numbers, and each by
the type that OpenAI's library has for it."""

from __future__ import annotations

import json
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent

Json = dict[str, Any]
_TYPES: dict[str, Any] = {
    get_args(one.model_fields["type"].annotation)[0]: one
    for one in get_args(get_args(ResponseStreamEvent)[0])
}
_CALLS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
_PARTS = {
    "output_text": ("output_text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("reasoning_text", "text"),
}


def events_of(data: bytes) -> list[Json]:
    """The events, each valid, named as it says it is, and numbered from 0."""
    events = []
    for one in data.decode().split("\n\n")[:-1]:
        name, line = (kept for kept in one.split("\n") if not kept.startswith(":"))
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        _TYPES[event["type"]].model_validate(event, strict=True)
        assert event["sequence_number"] == len(events)
        events.append(event)
    return events


def response_of(data: bytes, *, cut: bool = False) -> Json:
    """The response that a stream makes up.

    Args:
        cut: it may end in the middle of an item, as failed.

    Raises:
        AssertionError: the order of its events is not the API's.
    """
    created, begun, *middle, last = events_of(data)
    assert [created["type"], begun["type"]] == ["response.created", "response.in_progress"]
    assert last["type"].removeprefix("response.") == last["response"]["status"]
    kinds = ("completed", "incomplete", "failed") if cut else ("completed", "incomplete")
    assert last["response"]["status"] in kinds
    output: list[Json] = []
    rest = iter(middle)
    for event in rest:
        assert event["type"] == "response.output_item.added"
        assert event["output_index"] == len(output)
        whole = _item(event["item"], len(output), rest)
        if whole is None:
            assert last["response"]["status"] == "failed"
        else:
            output.append(whole)
    response: Json = last["response"]
    shown = [item for item in response["output"] if not cut or item["status"] != "incomplete"]
    assert shown == [item for item in output if not cut or item["status"] != "incomplete"]
    for name in ("id", "model", "created_at", "tools"):
        assert created["response"][name] == begun["response"][name] == response[name]
    Response.model_validate(response, strict=True)
    return response


def _item(item: Json, index: int, rest: Any) -> Json | None:
    """The item that is done, after its events; None if there is no end."""
    where = {"item_id": item["id"], "output_index": index}
    part = item["type"] not in _CALLS
    if part:
        assert item["content"] == []
        event = next(rest)
        assert event["type"] == "response.content_part.added"
        where["content_index"] = 0
        name, field = _PARTS[event["part"]["type"]]
    else:
        name, field = _CALLS[item["type"]]
    pieces = []
    for event in rest:
        assert {key: event[key] for key in where} == where
        if event["type"] == f"response.{name}.done":
            break
        assert event["type"] == f"response.{name}.delta"
        pieces.append(event["delta"])
    else:
        return None
    assert event[field] == "".join(pieces)
    if part:
        ended = next(rest)
        assert ended["type"] == "response.content_part.done"
        assert ended["part"][field] == event[field]
    last = next(rest)
    assert (last["type"], last["output_index"]) == ("response.output_item.done", index)
    done: Json = last["item"]
    assert (done["id"], done["type"]) == (item["id"], item["type"])
    said = done["content"][0][field] if part else done[field]
    assert said == event[field]
    return done
