"""The body that goes to a backend, built new from the client's: the client's own objects are
shared, never edited."""

from collections.abc import Mapping
from typing import Any

import orjson

from airouter.dialects import messages_native, prefix_guard, thinking
from airouter.dialects.openai_request import AS_MANY_AS_FIT, ChatRequest, text_of
from airouter.domain.dialect import Native
from airouter.domain.types import immutable
from airouter.settings.schema import BackendSettings

_SYSTEM_ROLES = ("system", "developer")
# How many tokens a prompt has is known to its backend only. Bytes of UTF-8 per token: English prose
# has about 4, code 3, Chinese 3, and nothing that is written to be read has more than 6.
_MOST_BYTES_PER_TOKEN, _USUAL_BYTES_PER_TOKEN = 6, 3
_MARGIN = 1024  # tokens; up to so many bytes, each is counted as a token
_PART_TOKENS = 1024  # for an image or another part that is not text
_MESSAGE_BYTES = 24  # what a chat template puts around each message


@immutable
class Outgoing:
    """What is sent to a backend, and what was changed on the way (`adjusted`, for the
    X-Router-Adjusted header). `native`: what is sent instead of `body` to a backend that speaks
    the client's dialect."""

    body: dict[str, Any]
    adjusted: tuple[str, ...]
    keep_usage: bool
    native: Native | None = None

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
    window: int | None = None,
) -> Outgoing:
    """Build the body for one backend.

    Args:
        date: the request's date line, computed once.
        context: text from a web search, put last in the system text.
        meta_max_chars: set for META: a longer conversation keeps its newest history.
        usage: ask a stream for its usage chunk, where the backend understands that.
        window: tokens that the backend can read and write in one request; None: unknown.
    """
    adjusted: list[str] = list(request.adjusted)
    body = {**request.payload, "model": model}
    if "task" in (body.get("metadata") or ()):
        del body[
            "metadata"
        ]  # a frontend's note to a router; OpenAI's servers refuse what is not theirs
    if request.endpoint == "chat":
        messages = request.messages
        static = prompts.get(backend.system_prompt or "") if meta_max_chars is None else None
        changing = [text for text in (date if backend.date_context else None, context) if text]
        if backend.guards_prefix:
            messages = prefix_guard.guarded(messages, adjusted)
        if meta_max_chars is not None:
            messages = _newest(messages, meta_max_chars, adjusted)
        else:
            messages = _with_system(messages, static, changing)
        body["messages"] = messages
        thinking.spell(body, backend, model, request.thinking, adjusted)
    elif request.thinking:
        adjusted.append(f"thinking={request.thinking} left out: for chats only")
    if "chat_template_kwargs" in body and not thinking.has_template(backend):
        del body["chat_template_kwargs"]
        adjusted.append("chat_template_kwargs left out: not understood by this backend")
    if request.endpoint != "embeddings":
        _fit_max_tokens(body, backend, window, adjusted)
        if request.stream and usage and not request.wants_usage:
            body["stream_options"] = {
                **(request.payload.get("stream_options") or {}),
                "include_usage": True,
            }
    original = request.original
    if original is None or not backend.speaks_messages or meta_max_chars is not None:
        return Outgoing(body, tuple(adjusted), request.wants_usage)
    adjusted = list(original.adjusted)
    guard = adjusted if backend.guards_prefix else None
    level, spelling = request.thinking, thinking.spelling_of(backend, model)
    if level is not None:
        unknown = ", left out: not understood by this backend" if spelling == "none" else ""
        adjusted.append(f"thinking={level} from the model name{unknown}")
    native = messages_native.request(
        original,
        body,
        static,
        changing,
        guard,
        None if spelling == "none" else level,
        in_tokens=spelling == "anthropic",
    )
    return Outgoing(body, tuple(adjusted), request.wants_usage, native)


def _fit_max_tokens(
    body: dict[str, Any], backend: BackendSettings, window: int | None, adjusted: list[str]
) -> None:
    policy = backend.max_tokens_policy
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if policy == "strip":
            del body[name]
            adjusted.append(f"{name}={value} stripped")
        elif value == AS_MANY_AS_FIT:
            _without_limit(body, name, backend, window, adjusted)
        elif policy == "floor" and backend.min_max_tokens and value < backend.min_max_tokens:
            body[name] = backend.min_max_tokens
            adjusted.append(f"{name}={value} raised to {backend.min_max_tokens}")
        if window is not None and body.get(name):
            _clamp(body, name, window, adjusted)


def _without_limit(
    body: dict[str, Any],
    name: str,
    backend: BackendSettings,
    window: int | None,
    adjusted: list[str],
) -> None:
    """As many as fit. That is what a chat without a limit means everywhere; a text completion
    without one ends after 16 tokens at OpenAI's servers and vLLM, and those that let it run
    (llama.cpp, LM Studio) understand the -1."""
    if "messages" in body:
        del body[name]
        adjusted.append(f"{name}={AS_MANY_AS_FIT} left out: as many as fit")
    elif window is not None:
        body[name] = _room(body, window)
        adjusted.append(f"{name}={AS_MANY_AS_FIT} set to {body[name]}")
    elif backend.kind == "vllm":
        del body[name]
        adjusted.append(f"{name}={AS_MANY_AS_FIT} left out: the context window is not known")


def _clamp(body: dict[str, Any], name: str, window: int, adjusted: list[str]) -> None:
    """A backend refuses a limit that its window cannot hold beside the prompt. Only one that
    certainly cannot be held is lowered: lowering one that fits would cut an answer short."""
    value = body[name]
    if value <= window // 2 or value + _prompt_bytes(body) // _MOST_BYTES_PER_TOKEN < window:
        return
    room = _room(body, window)
    if room < value:
        body[name] = room
        adjusted.append(f"{name}={value} lowered to {room}: the context window is {window}")


def _room(body: dict[str, Any], window: int) -> int:
    """Tokens for the answer, beside a prompt that is counted generously. Never less than a
    sixteenth of the window: where even that is too much, the backend says so, and the client
    learns that its prompt is too long."""
    size = _prompt_bytes(body)
    prompt = min(size, _MARGIN + size // _USUAL_BYTES_PER_TOKEN)
    return max(1, window - prompt - 1, window // 16)


def _prompt_bytes(body: dict[str, Any]) -> int:
    """What a backend reads, in bytes of UTF-8; parts other than text count as they usually do."""
    size = sum(len(orjson.dumps(body[name])) for name in ("tools", "functions") if body.get(name))
    if "messages" not in body:
        return size + _completion_bytes(body.get("prompt"))
    for message in body["messages"]:
        size += len(text_of(message).encode()) + _MESSAGE_BYTES
        if message.get("tool_calls"):
            size += len(orjson.dumps(message["tool_calls"]))
        content = message.get("content")
        if isinstance(content, list):
            others = sum("text" not in part for part in content)
            size += others * _PART_TOKENS * _USUAL_BYTES_PER_TOKEN
    return size


def _completion_bytes(prompt: Any) -> int:
    """Of the longest prompt; a list of numbers is one prompt in tokens."""
    if isinstance(prompt, str):
        return len(prompt.encode())
    if not isinstance(prompt, list) or not prompt:
        return 0
    if isinstance(prompt[0], int):
        return len(prompt) * _USUAL_BYTES_PER_TOKEN
    return max(_completion_bytes(one) for one in prompt)


def _with_system(messages: list[Any], static: str | None, changing: list[str]) -> list[Any]:
    """Static text first, then the client's system text, then what changes from day to day or
    request to request, all in the first system message: many chat templates take one, at the
    beginning. Where the client sends several, it stays so many."""
    if not static and not changing:
        return messages
    at = next((i for i, m in enumerate(messages) if m["role"] in _SYSTEM_ROLES), None)
    before = [static] if static else []
    if at is None:
        return [{"role": "system", "content": "\n\n".join([*before, *changing])}, *messages]
    first = messages[at]
    content: Any = first.get("content")
    if isinstance(content, list):
        content = [*map(_text_part, before), *content, *map(_text_part, changing)]
    else:
        content = "\n\n".join(text for text in (*before, content, *changing) if text)
    return [*messages[:at], {**first, "content": content}, *messages[at + 1 :]]


def _text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


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
    """Cut the middle of a housekeeping prompt: what stands before its history stays, and the
    newest of the history."""
    start = text.find("<chat_history>")
    head = text[: start + len("<chat_history>")] if 0 <= start < room // 2 else text[: room // 8]
    tail = text[len(text) - max(0, room - len(head)) :]
    line = tail.find("\n")
    return head + (tail[line:] if 0 <= line < len(tail) // 4 else tail)
