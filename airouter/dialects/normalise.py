"""Normalises values that backends accept although OpenAI documents another type. Other values are
left unchanged for validation to reject."""

from typing import Any

from airouter.domain.types import Endpoint

AS_MANY_AS_FIT = -1  # no limit, as in LM Studio, llama.cpp and Ollama
_LARGEST = 2**53  # larger integers are not exact as floats
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def payload(endpoint: Endpoint, given: dict[str, Any], adjusted: list[str]) -> dict[str, Any]:
    """The payload with numbers, booleans and content parts in their documented types; the same
    object if nothing has to be changed.

    Args:
        adjusted: receives one note per normalised field.
    """
    changed: dict[str, Any] = {}
    for name, read in _READERS:
        value = given.get(name)
        if value is None:
            continue
        meant = read(value)
        if meant is not value:
            changed[name] = meant
            if meant != value:
                adjusted.append(f"{name}={value!r} read as {_shown(meant)}"[:120])
    if endpoint == "chat":
        messages = _messages(given.get("messages"))
        if messages is not None:
            changed["messages"] = messages
            adjusted.append("content parts converted to objects with a type")
    return {**given, **changed} if changed else given


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _switch(value: Any) -> Any:
    if isinstance(value, str):
        return _TRUTH.get(value.strip().lower(), value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value in (0, 1):
        return bool(value)
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value_read = float(value) if len(value) <= 20 else None
        except ValueError:
            return value
        if value_read is None or not _exact(value_read):
            return value
        return int(value_read)
    return int(value) if isinstance(value, float) and _exact(value) else value


def _exact(value: float) -> bool:
    return value.is_integer() and abs(value) <= _LARGEST


def _limit(value: Any) -> Any:
    """A limit in tokens. In Ollama, -2 means "until the context window is full"."""
    value = _integer(value)
    return AS_MANY_AS_FIT if value == -2 else value


_READERS = (
    ("stream", _switch),
    ("n", _integer),
    ("max_tokens", _limit),
    ("max_completion_tokens", _limit),
)


def _messages(messages: Any) -> list[Any] | None:
    """The messages with each content part as an object with a type; None if nothing has to be
    changed."""
    if not isinstance(messages, list):
        return None
    changed = False
    result = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if content is not None and not isinstance(content, str):
            parts = _parts(content)
            if parts is not None:
                message = {**message, "content": parts}
                changed = True
        result.append(message)
    return result if changed else None


def _parts(content: Any) -> list[Any] | None:
    if isinstance(content, dict) and "type" in content:  # a single part without a list
        return [_part(content)]
    if not isinstance(content, list):
        return None
    parts = [_part(part) for part in content]
    return parts if any(new is not old for new, old in zip(parts, content, strict=True)) else None


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict) or "type" in part:
        return part
    if isinstance(part.get("text"), str):
        return {"type": "text", **part}
    if "image_url" in part:
        image = part["image_url"]
        return {
            "type": "image_url",
            "image_url": {"url": image} if isinstance(image, str) else image,
        }
    return part
