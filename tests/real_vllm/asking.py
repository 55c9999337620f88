"""What the tests ask."""

from __future__ import annotations

import json
from typing import Any

PRIMARY = {"X-Router-Route": "primary"}  # no deciding, so nothing else is generated
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a zone.",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}


def chat(text: str = "Tell me something.", **fields: Any) -> dict[str, Any]:
    """Greedy, so that the same ask has the same answer; without a thought before it."""
    return {
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 40,
        "chat_template_kwargs": {"enable_thinking": False},
        **fields,
    }


def events(raw: bytes) -> list[bytes]:
    """The data of a stream's events, without comments."""
    return [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]


def chunks(raw: bytes) -> list[dict[str, Any]]:
    """The same, read; `[DONE]` left out."""
    return [json.loads(event) for event in events(raw) if event != b"[DONE]"]


def text_of(raw: bytes, index: int = 0) -> str:
    """The text of one choice of a stream."""
    return "".join(
        choice.get("delta", {}).get("content") or choice.get("text") or ""
        for chunk in chunks(raw)
        for choice in chunk.get("choices", ())
        if choice["index"] == index
    )


def reasons_of(raw: bytes) -> dict[int, str]:
    """Finish reason by choice."""
    return {
        choice["index"]: choice["finish_reason"]
        for chunk in chunks(raw)
        for choice in chunk.get("choices", ())
        if choice.get("finish_reason")
    }
