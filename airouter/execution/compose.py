"""The body that goes to a backend, built new from the client's: the client's own objects are shared, never edited."""

from collections.abc import Mapping
from typing import Any

from airouter.request import ChatRequest, text_of
from airouter.settings import BackendSettings
from airouter.types import immutable


@immutable
class Outgoing:
    """What is sent to a backend, and what was changed on the way (`adjusted`, for the X-Router-Adjusted header)."""

    body: dict[str, Any]
    adjusted: tuple[str, ...]
    keep_usage: bool

    @property
    def messages(self) -> list[Any]:
        messages: list[Any] = self.body.get("messages", [])
        return messages

    def params(self) -> dict[str, Any]:
        """The scalar parameters, for the session file: no messages, no content."""
        return {
            key: value
            for key, value in self.body.items()
            if isinstance(value, str | int | float | bool)
            and key not in ("model", "prompt", "input")
        }


def compose(
    request: ChatRequest,
    backend: BackendSettings,
    model: str,
    *,
    prompts: Mapping[str, str],
    date: str,
    context: str | None = None,
    meta_max_chars: int | None = None,
    usage: bool = True,
) -> Outgoing:
    """Build the body for one backend.

    Args:
        date: the request's date line, computed once.
        context: text from a web search, put as system text before the last user message.
        meta_max_chars: set for META: a longer conversation keeps its newest history.
        usage: ask a stream for its usage chunk, where the backend understands that.
    """
    adjusted: list[str] = []
    body = {**request.payload, "model": model}
    if "task" in (body.get("metadata") or ()):
        del body[
            "metadata"
        ]  # a frontend's note to a router; OpenAI's servers refuse what is not theirs
    if request.endpoint == "chat":
        messages = request.messages
        if meta_max_chars is not None:
            messages = _newest(messages, meta_max_chars, adjusted)
        else:
            messages = _with_system(
                messages,
                prompts.get(backend.system_prompt or ""),
                date if backend.date_context else None,
            )
        if context:
            messages = _with_context(messages, context)
        body["messages"] = messages
    if request.endpoint != "embeddings":
        _fit_max_tokens(body, backend, adjusted)
        if request.stream and usage and not request.wants_usage:
            body["stream_options"] = {
                **(request.payload.get("stream_options") or {}),
                "include_usage": True,
            }
    return Outgoing(body, tuple(adjusted), request.wants_usage)


def _fit_max_tokens(body: dict[str, Any], backend: BackendSettings, adjusted: list[str]) -> None:
    policy = backend.max_tokens_policy
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if policy == "strip":
            del body[name]
            adjusted.append(f"{name}={value} stripped")
        elif policy == "floor" and backend.min_max_tokens and value < backend.min_max_tokens:
            body[name] = backend.min_max_tokens
            adjusted.append(f"{name}={value} raised to {backend.min_max_tokens}")


def _with_system(messages: list[Any], static: str | None, date: str | None) -> list[Any]:
    """Static text first, then the client's system text, then the date, in one leading system message."""
    if not static and not date:
        return messages
    first = messages[0]
    if first["role"] not in ("system", "developer"):
        return [
            {"role": "system", "content": "\n\n".join(part for part in (static, date) if part)},
            *messages,
        ]
    if isinstance(first.get("content"), list):
        parts = first["content"]
        before = [{"type": "text", "text": static}] if static else []
        after = [{"type": "text", "text": date}] if date else []
        return [{**first, "content": [*before, *parts, *after]}, *messages[1:]]
    text = "\n\n".join(part for part in (static, text_of(first), date) if part)
    return [{**first, "content": text}, *messages[1:]]


def _with_context(messages: list[Any], context: str) -> list[Any]:
    at = next(
        (i for i in range(len(messages) - 1, -1, -1) if messages[i]["role"] == "user"),
        len(messages),
    )
    return [*messages[:at], {"role": "system", "content": context}, *messages[at:]]


def _newest(messages: list[Any], limit: int, adjusted: list[str]) -> list[Any]:
    """META over the limit keeps its instruction and the newest history."""
    total = sum(len(text_of(message)) for message in messages)
    if total <= limit:
        return messages
    adjusted.append(f"history of {total} characters cut to the newest {limit}")
    kept = list(messages)
    for message in messages[:-1]:  # oldest first; system text and the last message stay
        if total <= limit:
            break
        if message["role"] not in ("system", "developer"):
            kept.remove(message)
            total -= len(text_of(message))
    last = kept[-1]
    if total > limit and isinstance(last.get("content"), str):
        room = max(0, limit - (total - len(last["content"])))
        kept[-1] = {**last, "content": _shorten(last["content"], room)}
    return kept


def _shorten(text: str, room: int) -> str:
    """Cut the middle of a housekeeping prompt: what stands before its history stays, and the newest of the history."""
    start = text.find("<chat_history>")
    head = text[: start + len("<chat_history>")] if 0 <= start < room // 2 else text[: room // 8]
    tail = text[len(text) - max(0, room - len(head)) :]
    line = tail.find("\n")
    return head + (tail[line:] if 0 <= line < len(tail) // 4 else tail)
