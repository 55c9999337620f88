"""Whole answers in OpenAI's format as messages of Anthropic's Messages API, and what these have in
common with streams."""

from typing import Any

import orjson

from airouter.dialects.openai_request import text_of
from airouter.dialects.wire_json import lenient

REASONING = ("reasoning_content", "reasoning", "thinking")
_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class Whole:
    """A chat completion as a message.

    Args:
        id: of the message.
        model: as the client calls it.
        stops: the stop sequences of the request.
        thinks: whether reasoning is shown.
    """

    def __init__(self, id: str, model: str, stops: tuple[str, ...], *, thinks: bool) -> None:
        self._id = id
        self._model = model
        self._stops = stops
        self._thinks = thinks
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        payload = lenient(b"".join(self._parts))
        choice = payload["choices"][0]
        said = choice.get("message") or {}
        content: list[dict[str, Any]] = []
        if self._thinks and (thought := thought_of(said)):
            content.append({"type": "thinking", "thinking": thought, "signature": ""})
        if text := text_of(said) or said.get("refusal"):
            content.append({"type": "text", "text": text})
        calls = said.get("tool_calls")
        for index, call in enumerate(calls if isinstance(calls, list) else []):
            content.append(_tool_use(call, f"toolu_{self._id[4:]}_{index}"))
        called = bool(content) and content[-1]["type"] == "tool_use"
        reason, stop = stop_of(
            choice, self._stops, called=called, refused=bool(said.get("refusal"))
        )
        answer = opening(self._id, self._model)
        answer |= {"content": content, "stop_reason": reason, "stop_sequence": stop}
        return orjson.dumps(answer | {"usage": usage_of(payload.get("usage"))})


def opening(id: str, model: str) -> dict[str, Any]:
    return {"id": id, "type": "message", "role": "assistant", "model": model}


def stop_of(
    choice: dict[str, Any], stops: tuple[str, ...], *, called: bool, refused: bool
) -> tuple[str, str | None]:
    """Why an answer ended: (stop_reason, stop_sequence). Which sequence it was, vLLM and SGLang
    tell."""
    reason = _REASONS.get(choice.get("finish_reason") or "")
    if reason:
        return reason, None
    if refused:
        return "refusal", None
    if called:  # some servers say "stop" behind calls
        return "tool_use", None
    stop = choice.get("stop_reason", choice.get("matched_stop"))
    return ("stop_sequence", stop) if stop in stops else ("end_turn", None)


def usage_of(usage: Any) -> dict[str, Any]:
    """The counts; `input_tokens` are those that no cache had."""
    counted = usage if isinstance(usage, dict) else {}
    details = counted.get("prompt_tokens_details")
    read = _count(details, "cached_tokens")
    written = _count(counted, "cache_creation_input_tokens")
    return {
        "input_tokens": max(0, _count(counted, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": _count(counted, "completion_tokens"),
    }


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) else 0


def thought_of(said: dict[str, Any]) -> str:
    """The reasoning of a message or of a delta."""
    found = (said[name] for name in REASONING if isinstance(said.get(name), str))
    return next((text for text in found if text), "")


def named(value: Any) -> str:
    """A name or an id; "" if it is none."""
    return value if isinstance(value, str) else ""


def _tool_use(call: Any, known: str) -> dict[str, Any]:
    """A tool call. Arguments that are not a JSON object are the client's to judge: it tells the
    model."""
    call = call if isinstance(call, dict) else {}
    function = call.get("function") or {}
    given = function.get("arguments")
    try:
        read = lenient(given.encode()) if isinstance(given, str) and given else given or {}
    except ValueError:
        read = given
    arguments = read if isinstance(read, dict) else {"invalid_arguments": given}
    return {
        "type": "tool_use",
        "id": named(call.get("id")) or known,
        "name": named(function.get("name")),
        "input": arguments,
    }
