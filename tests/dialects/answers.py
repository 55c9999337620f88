"""Answers of backends, whole and as events, and how they are read."""

from __future__ import annotations

from typing import Any

import orjson

from airouter.dialects.openai_answer import Answer
from airouter.domain.errors import RouterError

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def completion(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": list(choices),
        "usage": USAGE,
        **more,
    }


def choice(text: str | None = "Hello", reason: Any = "stop", **message: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": reason,
    }


def events(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True) -> bytes:
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if finish:
        chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    lines = [b"data: " + orjson.dumps({**head, "choices": [c]}) + b"\n\n" for c in chunks]
    return b"".join([*lines, b"data: [DONE]\n\n" if done else b""])


def read(
    body: bytes, *, stream: bool, pieces: int = 0, endpoint: Any = "chat"
) -> tuple[Answer, RouterError | None, bytes]:
    """The answer fed in pieces of so many bytes, its problem, and what a stream may pass on."""
    answer, out = Answer("b", endpoint, stream=stream), b""
    size = pieces or max(1, len(body))
    for start in range(0, len(body), size):
        answer.feed(body[start : start + size])
        out += answer.drain()
    answer.end()
    return answer, answer.problem({}), out + answer.drain()
