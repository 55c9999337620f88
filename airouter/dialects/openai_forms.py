"""OpenAI's two forms of one answer, whole and streamed, made from each other.

For a backend that ignores `stream`: a client gets the form that it asked for. Pure.
"""

from typing import Any

import orjson

from airouter.dialects.openai_stream import index_of, is_reason

# What comes once, or again with each piece; all other texts come in pieces.
_NAMES = frozenset(
    {"id", "type", "name", "object", "created", "model", "format", "index", "role", "mime_type"}
)
_CHUNK_OBJECTS = {"chat.completion": "chat.completion.chunk"}


def as_events(payload: dict[str, Any]) -> bytes:
    """A chat or text completion as server-sent events, usage chunk and `[DONE]` included."""
    shared = {key: value for key, value in payload.items() if key not in ("choices", "usage")}
    kind = payload.get("object")
    shared["object"] = _CHUNK_OBJECTS.get(str(kind), kind)
    chunks: list[dict[str, Any]] = []
    for position, choice in enumerate(payload.get("choices") or []):
        if isinstance(choice, dict):
            chunks.append({**shared, "choices": [_streamed(choice, position)]})
    if payload.get("usage") is not None:
        chunks.append({**shared, "choices": [], "usage": payload["usage"]})
    events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    return b"".join([*events, b"data: [DONE]\n\n"])


def _streamed(choice: dict[str, Any], position: int) -> dict[str, Any]:
    rest = {key: value for key, value in choice.items() if key != "message"}
    rest.setdefault("index", position)
    message = choice.get("message")
    if not is_reason(choice.get("finish_reason")):  # a client of a stream waits for one
        rest["finish_reason"] = _reason_for(message)
    if isinstance(message, dict):
        delta = {"role": "assistant", **message}
        calls = message.get("tool_calls")
        if isinstance(calls, list):  # a stream's tool calls are told apart by their index
            delta["tool_calls"] = [
                {"index": i, **call} for i, call in enumerate(calls) if isinstance(call, dict)
            ]
        rest["delta"] = delta
    return rest


def _reason_for(message: Any) -> str:
    called = message if isinstance(message, dict) else {}
    if called.get("tool_calls"):
        return "tool_calls"
    return "function_call" if called.get("function_call") else "stop"


class Assembler:
    """Puts a stream's chunks together to the answer that a client of a whole answer expects."""

    def __init__(self) -> None:
        self._shared: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """One chunk of the stream, in order."""
        for key, value in chunk.items():
            if key not in ("choices", "usage") and value is not None:
                if key in _NAMES:
                    self._shared.setdefault(key, value)
                else:
                    self._shared[key] = value  # citations, timings: the last has them all
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._extend(index_of(choice), choice)

    def _extend(self, index: int, choice: dict[str, Any]) -> None:
        whole = self._choices.setdefault(index, {"index": index, "finish_reason": None})
        delta = choice.get("delta")
        if isinstance(delta, dict):
            message = whole.setdefault("message", {"role": "assistant", "content": None})
            for key, value in delta.items():
                if key != "role":
                    message[key] = _joined(message.get(key), value, key)
        for key, value in choice.items():
            if key in ("finish_reason", "stop_reason"):
                whole[key] = value or whole.get(key)
            elif key not in ("delta", "index") and (key != "message" or isinstance(value, dict)):
                whole[key] = _joined(whole.get(key), value, key)

    def payload(self) -> dict[str, Any]:
        """The whole answer; `choices` is empty when nothing came."""
        kind = self._shared.get("object")
        if kind == "chat.completion.chunk":
            kind = "chat.completion"
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            calls = (choice.get("message") or {}).get("tool_calls")
            for call in calls if isinstance(calls, list) else []:
                if isinstance(call, dict):
                    call.pop("index", None)
        whole: dict[str, Any] = _settled({**self._shared, "object": kind, "choices": choices})
        return whole if self._usage is None else {**whole, "usage": self._usage}


class _Text:
    """A text that comes in thousands of pieces: joined once, at the end."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    def add(self, piece: str) -> "_Text":
        self._pieces.append(piece)
        return self

    def __str__(self) -> str:
        return "".join(self._pieces)


def _settled(value: Any) -> Any:
    """The same with every text joined."""
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    return [_settled(item) for item in value] if isinstance(value, list) else value


def _joined(before: Any, value: Any, name: str) -> Any:
    """Two pieces of a field of this name: texts and lists are appended, objects are joined by
    field; what names or describes the rest comes once, or is repeated."""
    if value is None or before is None:
        return before if value is None else value
    if isinstance(value, str) and isinstance(before, str | _Text):
        if name in _NAMES:
            return value or before
        return _Text([before, value]) if isinstance(before, str) else before.add(value)
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **{key: _joined(before.get(key), value[key], key) for key in value}}
    if isinstance(before, list) and isinstance(value, list):
        return _joined_lists(before, value)
    return value


def _joined_lists(before: list[Any], value: list[Any]) -> list[Any]:
    """Entries that continue an earlier one are joined with it; others are appended."""
    joined = before  # it is the assembler's own
    for entry in value:
        at = _continues(joined, entry) if isinstance(entry, dict) else None
        if at is None:
            joined.append(entry)
        else:
            joined[at] = _joined(joined[at], entry, "")
    return joined


def _continues(entries: list[Any], piece: dict[str, Any]) -> int | None:
    """Which entry a piece belongs to: that of its index; without one that of its id; a piece of a
    tool call that has neither belongs to the last."""
    for mark in ("index", "id"):
        known = piece.get(mark)
        if known is not None:
            found = (
                i for i, e in enumerate(entries) if isinstance(e, dict) and e.get(mark) == known
            )
            return next(found, None)
    last = entries[-1] if entries else None
    called = isinstance(last, dict) and "function" in last and "function" in piece
    function = piece.get("function")
    named = isinstance(function, dict) and function.get("name")
    return len(entries) - 1 if called and not named else None
