"""Answers as a server with Anthropic's Messages API gives them, with all kinds of blocks."""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]
HEAD = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}}  # fmt: skip
BLOCKS: list[tuple[Json, list[Json]]] = [
    ({"type": "thinking", "thinking": "", "signature": ""},
     [{"type": "thinking_delta", "thinking": "Hm"}, {"type": "signature_delta", "signature": "s"}]),
    ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Hel\u2028lo"}]),
    ({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
     [{"type": "input_json_delta", "partial_json": '{"query": "event: error"}'}]),
    ({"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}, []),
    ({"type": "text", "text": ""},
     [{"type": "text_delta", "text": "lo"}, {"type": "citations_delta", "citation": {"a": 1}}]),
    ({"type": "tool_use", "id": "t1", "name": "run", "input": {}},
     [{"type": "input_json_delta", "partial_json": '{"a"'},
      {"type": "input_json_delta", "partial_json": ": 1}"}]),
]  # fmt: skip


def native(said: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (said["type"].encode(), orjson.dumps(said))


def stream_of(blocks: list[tuple[Json, list[Json]]], reason: str = "tool_use") -> bytes:
    said: list[Json] = [{"type": "message_start", "message": HEAD}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        said.append({"type": "content_block_start", "index": index, "content_block": block})
        said += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        said.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": reason, "stop_sequence": None}
    said.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}})
    return b"".join(map(native, [*said, {"type": "message_stop"}]))
