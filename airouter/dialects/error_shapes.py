"""Errors that come with status 200, within a stream or instead of an answer: OpenAI's shape, and
those of the servers and gateways that write another one. Pure."""

from typing import Any

_TEXTS = ("detail", "message", "msg")
_KINDS = ("object", "type", "status", "code", "status_code", "success")
_ANSWERS = ("choices", "data", "embedding", "embeddings", "usage")


def error_in(payload: Any) -> dict[str, Any] | None:
    """The error that a payload reports; None when it reports none."""
    if isinstance(payload, list):  # Gemini's: one error within a list
        only = payload[0] if len(payload) == 1 else None
        return error_in(only) if isinstance(only, dict) and "error" in only else None
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {"message": error}
    if error or payload.get("object") == "error" or payload.get("type") == "error":
        return payload  # `"error": true` says no more than that the rest describes one
    if any(name in payload for name in _ANSWERS):
        return None
    if payload.get("errors"):
        return {"message": payload["errors"]}
    said = [name for name in _TEXTS if payload.get(name) and not isinstance(payload[name], dict)]
    # A text alone is an error as well; beside other fields it may be anything.
    if said and ("detail" in said or len(payload) == 1 or any(map(_failed, _kinds(payload)))):
        return payload
    return None


def _kinds(payload: dict[str, Any]) -> list[Any]:
    return [payload[name] for name in _KINDS if name in payload]


def _failed(kind: Any) -> bool:
    """Whether a type, a status or a code names a failure."""
    if isinstance(kind, str):
        return "error" in kind.lower() or (kind.isdecimal() and int(kind[:4]) >= 400)
    return kind is False or (isinstance(kind, int) and kind >= 400)
