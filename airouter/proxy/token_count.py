"""Asks a backend how many tokens a prompt has, where the estimate is too close to a limit."""

from collections.abc import Iterable
from typing import Any

import orjson

from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.errors import RouterError
from airouter.domain.types import HttpRequest
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease

_TIMEOUT = 1.0  # seconds; a server counts 40,000 tokens in some 50 ms
_KINDS = ("vllm", "openai")  # llama.cpp's server is one of the latter


def count_tokens(
    exchange: Exchange, request: ChatRequest, backends: Iterable[Backend]
) -> Waiting[int | None]:
    """The tokens of a prompt, as the first local backend that is up counts them; None if it cannot.
    It needs no slot, and its breaker is not told."""
    for backend in backends:
        if backend.local and backend.settings.kind in _KINDS and backend.can_answer_now:
            break
    else:
        return None
    lease = Lease(exchange, backend)
    body = _body(request, backend)
    post = HttpRequest("POST", "/tokenize", _headers(backend), orjson.dumps(body, default=str))
    try:
        status, answer = yield from lease.fetch(post, _TIMEOUT)
        return _count_in(answer) if status == 200 else None
    except RouterError:
        return None
    finally:
        lease.close()


def _headers(backend: Backend) -> dict[str, str]:
    return {**backend.headers, "Content-Type": "application/json"}


def _body(request: ChatRequest, backend: Backend) -> dict[str, Any]:
    """vLLM applies the chat template to `messages` and `tools`; llama.cpp's server reads `content`,
    text only. Each ignores the other's."""
    body: dict[str, Any] = {"model": backend.model} if backend.model else {}
    prompt, tools = request.payload.get("prompt"), request.payload.get("tools")
    if request.endpoint == "completions":
        body["prompt"] = prompt
    else:
        body["messages"] = request.messages
        if tools:
            body["tools"] = tools
    if backend.settings.kind != "vllm":
        parts = [text_of(message) for message in request.messages]
        extra = [m["tool_calls"] for m in request.messages if m.get("tool_calls")]
        parts += [orjson.dumps(each, default=str).decode() for each in (*extra, tools) if each]
        body["content"] = prompt if request.endpoint == "completions" else "\n".join(parts)
    return body


def _count_in(answer: bytes) -> int | None:
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    count, tokens = told.get("count"), told.get("tokens")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return count
    return len(tokens) or None if isinstance(tokens, list) else None
