"""Answers of Anthropic's Messages API in OpenAI's format: whole, and as a stream.

Where the client speaks the API, too (`native`), they carry what they were translated from, and its
writer passes that on (see `carried.py`).
"""

from typing import Any

import orjson

from airouter.dialects import carried, sse
from airouter.dialects.alike import Alike, alike_delta
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient

_OWN = ("message_stop", "error")  # events of which the router writes its own
_TRANSLATED = frozenset({"text", "thinking", "tool_use"})  # kinds of blocks
_NAMED = b"event: content_block_delta\n"
_PIECES = {  # by kind of block: the type of its deltas, and their field
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}
_DELTAS = frozenset(kind for kind, _ in _PIECES.values())
_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class WholeIn:
    """A message as a chat completion; an error, and what is no message, passes."""

    def __init__(self, *, native: bool = False) -> None:
        self._parts: list[bytes] = []
        self._native = native

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        raw = b"".join(self._parts)
        try:
            payload = lenient(raw)
        except ValueError:
            return raw
        blocks = payload.get("content") if isinstance(payload, dict) else None
        if not isinstance(blocks, list) or payload.get("type") != "message":
            return raw
        said: dict[str, Any] = {"role": "assistant", "content": _texts(blocks, "text")}
        if self._native and (others := _kinds(blocks) - _TRANSLATED):
            said[carried.FIELD] = ", ".join(sorted(others))
        if thought := _texts(blocks, "thinking"):
            said["reasoning_content"] = thought
        calls = [
            _call(block.get("id"), block.get("name"), orjson.dumps(block.get("input")).decode())
            for block in blocks
            if isinstance(block, dict) and block.get("type") == "tool_use"
        ]
        if calls:
            said["tool_calls"] = calls
        choice = {"index": 0, "message": said, **_ending(payload)}
        head = {"id": payload.get("id"), "object": "chat.completion", "created": 0}
        rest = {"model": payload.get("model"), "choices": [choice]}
        if self._native:
            rest |= carried.in_whole(raw)
        return orjson.dumps({**head, **rest, "usage": _usage(payload.get("usage"))})


class EventsIn:
    """A message's events as chunks."""

    def __init__(self, *, native: bool = False) -> None:
        self._native = native
        self._events = sse.Splitter()
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._block = ""  # what kind of block is open
        self._alike: Alike | None = None  # most events: pieces of that block
        self._as: tuple[bytes, bytes] = b"", b""  # what stands around their text as a chunk

    def feed(self, data: bytes) -> bytes:
        return b"".join(map(self._event, self._events.feed(data)))

    def flush(self) -> bytes:
        return b""

    def _event(self, event: bytes) -> bytes:
        line = event[len(_NAMED) :] if event.startswith(_NAMED) else event
        usual = self._alike
        if usual is not None and usual.text_of(line) is not None:
            before, behind = self._as
            return before + line[len(usual.before) : -len(usual.behind)] + behind
        payload = sse.payload_of(event)
        if not payload:
            return b""
        try:
            said = lenient(payload, EVENT_ELEMENTS)
        except ValueError:
            return event  # passed on: the reader of the stream reports invalid JSON
        kind = said.get("type") if isinstance(said, dict) else None
        field = self._field(said) if kind == "content_block_delta" else ""
        chunks = self._piece(line, said, field) if field else self._chunks(kind, said)
        if self._native and not field and isinstance(kind, str) and kind not in _OWN:
            return carried.before(kind, payload, chunks)
        return chunks

    def _field(self, said: dict[str, Any]) -> str:
        """The field with the text of an event that brings nothing but a piece of a block, which
        its client's writer can write anew; "" for any other."""
        delta = said.get("delta")
        kind, field = _PIECES.get(self._block, ("", ""))
        if not isinstance(delta, dict) or len(delta) != 2 or delta.get("type") != kind:
            return ""
        return field if isinstance(delta.get(field), str) and delta[field] else ""

    def _piece(self, line: bytes, said: dict[str, Any], field: str) -> bytes:
        chunk, text = self._delta(said["delta"]), orjson.dumps(said["delta"][field])
        self._alike = alike_delta(line, said, field) if chunk.count(text) == 1 else None
        if self._alike is not None:
            before, _, behind = chunk.partition(text)
            self._as = before, behind
        return chunk

    def _chunks(self, kind: Any, said: Any) -> bytes:
        """What an event says, as chunks."""
        if kind == "content_block_delta":
            return self._delta(said.get("delta"))
        if kind in ("content_block_start", "content_block_stop"):
            self._block, self._alike = "", None
        if kind == "content_block_start":
            return self._start(said.get("content_block"))
        if kind == "message_start":
            return self._open(said.get("message"))
        if kind == "message_delta":
            return self._end(said)
        if kind == "message_stop":
            return b"data: [DONE]\n\n"
        return _data(said) if kind == "error" else b""  # a ping, the end of a block

    def _open(self, message: Any) -> bytes:
        message = message if isinstance(message, dict) else {}
        self._count(message.get("usage"))
        head = {"id": message.get("id"), "object": "chat.completion.chunk", "created": 0}
        self._head = {**head, "model": message.get("model")}
        return self._chunk({"role": "assistant", "content": ""})

    def _start(self, block: Any) -> bytes:
        block = block if isinstance(block, dict) else {}
        self._block = str(block.get("type"))
        if block.get("type") == "tool_use":
            self._calls += 1
            call = _call(block.get("id"), block.get("name"), "")
            return self._chunk({"tool_calls": [{"index": self._calls - 1, **call}]})
        if self._native and block.get("type") not in _TRANSLATED:
            return self._chunk({carried.FIELD: str(block.get("type"))})
        return self._chunk({"content": block["text"]}) if block.get("text") else b""

    def _delta(self, delta: Any) -> bytes:
        delta = delta if isinstance(delta, dict) else {}
        kind = delta.get("type")
        if kind == "signature_delta":
            return b""
        if self._block not in _TRANSLATED or kind not in _DELTAS:  # citations; of other blocks
            return self._chunk({carried.FIELD: str(kind)}) if self._native else b""
        if kind == "text_delta":
            return self._chunk({"content": delta.get("text")})
        if kind == "thinking_delta":
            return self._chunk({"reasoning_content": delta.get("thinking")})
        function = {"arguments": delta.get("partial_json") or ""}
        return self._chunk({"tool_calls": [{"index": self._calls - 1, "function": function}]})

    def _end(self, said: dict[str, Any]) -> bytes:
        self._count(said.get("usage"))
        delta = said.get("delta")
        ending = _ending(delta if isinstance(delta, dict) else {})
        last = {**self._head, "choices": [{"index": 0, "delta": {}, **ending}]}
        return _data(last) + _data({**self._head, "choices": [], "usage": _usage(self._usage)})

    def _count(self, usage: Any) -> None:
        """Counts are totals: a later one replaces those before it."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return _data({**self._head, "choices": [choice]})


def _data(payload: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def _kinds(blocks: list[Any]) -> set[str]:
    return {str(block.get("type")) for block in blocks if isinstance(block, dict)}


def _texts(blocks: list[Any], kind: str) -> str:
    found = (b.get(kind) for b in blocks if isinstance(b, dict) and b.get("type") == kind)
    return "".join(text for text in found if isinstance(text, str))


def _call(known: Any, name: Any, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": known, "type": "function", "function": function}


def _ending(said: dict[str, Any]) -> dict[str, Any]:
    reason = said.get("stop_reason")
    ending: dict[str, Any] = {"finish_reason": _REASONS.get(reason or "", "stop")}
    if reason == "stop_sequence":
        ending["stop_reason"] = said.get("stop_sequence")
    return ending


def _usage(usage: Any) -> dict[str, Any]:
    """Their `input_tokens` leave out what the cache had or was given."""
    counted = usage if isinstance(usage, dict) else {}
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    fresh, read, written = (counted.get(name) or 0 for name in names)
    prompt, answer = fresh + read + written, counted.get("output_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": read},
        "cache_creation_input_tokens": written,
    }
