"""Events of a stream in OpenAI's format, and how they are read."""

from __future__ import annotations

import json
from typing import Any

from airouter.dialects.openai_stream import SseReader, StreamState

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode()


def delta(text: str, index: int = 0, **more: Any) -> bytes:
    return event(
        id="c",
        model="m",
        choices=[{"index": index, "delta": {"content": text}, "finish_reason": None, **more}],
    )


def role() -> bytes:
    return event(
        id="c",
        model="m",
        choices=[
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        ],
    )


def finish(index: int = 0) -> bytes:
    return event(choices=[{"index": index, "delta": {}, "finish_reason": "stop"}])


def usage() -> bytes:
    return event(choices=[], usage=USAGE)


DONE = b"data: [DONE]"


def stream(*events: bytes, end: bytes = b"\n\n") -> bytes:
    return b"".join(piece + end for piece in events)


def read(
    data: bytes, *, keep_usage: bool = False, cuts: tuple[int, ...] = ()
) -> tuple[bytes, StreamState]:
    reader = SseReader(keep_usage=keep_usage)
    out, last = b"", 0
    for cut in (*sorted(cuts), len(data)):
        out += reader.feed(data[last:cut])
        last = cut
    return out + reader.flush(), reader.state
