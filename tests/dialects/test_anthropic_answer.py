"""Answers of backends that speak Anthropic's Messages API: there and back again with the client's
dialect."""

from __future__ import annotations

import json
from typing import Any

import orjson
from anthropic_events import message_of
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, event, stream

from airouter.dialects.anthropic import ANTHROPIC
from airouter.dialects.messages import Messages

Json = dict[str, Any]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CALLS = st.lists(st.tuples(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2)), max_size=3)
REASONS = st.sampled_from(["end_turn", "max_tokens", "refusal", "stop_sequence"])


@given(TEXTS, TEXTS, CALLS, REASONS, st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_an_answer_is_the_same_there_and_back(
    thought: str, text: str, calls: list[tuple[str, Json]], reason: str, cached: int
) -> None:
    """Whole and streamed, through both translations."""
    uses = [
        {"type": "tool_use", "id": f"c{i}", "name": name, "input": arguments}
        for i, (name, arguments) in enumerate(calls)
    ]
    message: Json = {
        "id": "msg_1f", "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "thinking", "thinking": thought, "signature": ""},
                    {"type": "text", "text": text}, *uses],
        "stop_reason": "tool_use" if uses else reason,
        "stop_sequence": "END" if reason == "stop_sequence" and not uses else None,
        "usage": {"input_tokens": 5, "cache_creation_input_tokens": 1,
                  "cache_read_input_tokens": cached, "output_tokens": 3},
    }  # fmt: skip
    client = Messages("1f", "claude", thinks=True, stops=("END",))
    reader, writer = ANTHROPIC.reader(stream=False), client.writer(stream=False)
    raw = reader.feed(orjson.dumps(message)) + reader.flush()
    assert json.loads(writer.feed(raw) + writer.flush()) == message
    there = client.writer(stream=True)
    shared = {"object": "chat.completion.chunk", "id": "c", "model": "claude"}
    made = [
        {
            "index": i,
            "id": use["id"],
            "function": {"name": use["name"], "arguments": json.dumps(use["input"])},
        }
        for i, use in enumerate(uses)
    ]
    finish = {"tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
    last = {"finish_reason": finish.get(message["stop_reason"], "stop")}
    if message["stop_sequence"]:
        last["stop_reason"] = "END"
    counts = {
        "prompt_tokens": 6 + cached,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": cached},
        "cache_creation_input_tokens": 1,
    }
    deltas: list[Json] = [{"reasoning_content": thought}, {"content": text}]
    deltas += [{"tool_calls": [call]} for call in made]
    chunks = [event(**shared, choices=[{"index": 0, "delta": delta}]) for delta in deltas]
    chunks += [event(**shared, choices=[{"index": 0, "delta": {}, **last}])]
    out = there.feed(stream(*chunks, event(**shared, choices=[], usage=counts), DONE))
    assert message_of(out) == message
    back, again = ANTHROPIC.reader(stream=True), client.writer(stream=True)
    assert message_of(again.feed(back.feed(out))) == message


def test_errors_pass() -> None:
    """They have OpenAI's shape, too; so does what is no message at all."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Later."}}
    for raw in (orjson.dumps(error), b"<html>", b"[1]"):
        reader = ANTHROPIC.reader(stream=False)
        assert reader.feed(raw) + reader.flush() == raw
    events = ANTHROPIC.reader(stream=True).feed(
        b"event: error\ndata: " + orjson.dumps(error) + b"\n\n"
    )
    assert json.loads(events.removeprefix(b"data: ")) == error
