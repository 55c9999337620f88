"""Counts the tokens of a prompt: as its backend does, else by an estimate."""

from typing import Any

import orjson

from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.errors import RouterError
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.upstream.backend import Backend
from airouter.upstream.client import side_lease

_TIMEOUT = 5.0  # seconds: vLLM counts 100,000 tokens in a few tenths of one
_MESSAGE = 5  # tokens that a chat template puts around a message
_IMAGE = 1000  # tokens: a megapixel for Qwen-VL
# The kind of each byte of UTF-8: letters, digits, white space, other ASCII, lead bytes by script.
_KINDS = bytearray(b"." * 256)
for _first, _last, _kind in (
    (0x41, 0x5A, b"A"),
    (0x61, 0x7A, b"a"),
    (0x30, 0x39, b"0"),
    (0x09, 0x09, b" "),
    (0x20, 0x20, b" "),
    (0x0A, 0x0D, b"\n"),
    (0x80, 0xBF, b"-"),
    (0xC0, 0xDF, b"2"),
    (0xE0, 0xE2, b"3"),
    (0xE3, 0xE9, b"k"),
    (0xEA, 0xED, b"h"),
    (0xEE, 0xEF, b"3"),
    (0xF0, 0xFF, b"4"),
):
    _KINDS[_first : _last + 1] = _kind * (_last - _first + 1)
_TABLE = bytes(_KINDS)
# Tokens per occurrence of a kind, or of two in a row; means of today's tokenizers (Qwen's, cl100k)
# on prose, code, Chinese, Japanese and Korean.
_WEIGHTS = (
    (b"a", 0.115), (b"A", 0.135), (b" a", 0.38), (b" A", 0.38), (b"aA", 1.0), (b"0", 0.9),
    (b".", 0.8), (b"\n", 0.9), (b"2", 0.5), (b"3", 1.2), (b"k", 0.9), (b"h", 1.1), (b"4", 2.5),
)  # fmt: skip


def count(
    exchange: Exchange, request: ChatRequest, backend: Backend | None
) -> Waiting[tuple[int, str]]:
    """The tokens of a chat request, and who counted them.

    Args:
        backend: the one to ask. Only vLLM has an endpoint that applies the chat template; what it
            says of images leaves out what their pixels become.
    """
    if backend is not None and backend.settings.kind == "vllm" and not _images(request):
        counted = yield from _asked(exchange, request, backend)
        if counted is not None:
            return counted, f"counted by {backend.name}"
    return estimated(request), "estimated"


def estimated(request: ChatRequest) -> int:
    """An estimate of the tokens of a chat request."""
    texts = [text_of(message) for message in request.messages]
    extra = [message["tool_calls"] for message in request.messages if message.get("tool_calls")]
    extra += [request.payload["tools"]] if request.has_tools else []
    texts += [orjson.dumps(one).decode() for one in extra]
    around = _MESSAGE * len(request.messages) + _IMAGE * _images(request)
    return max(1, round(sum(map(estimate, texts)) + around))


def estimate(text: str) -> float:
    """An estimate of the tokens of a text."""
    kinds = text.encode("utf-8", "replace").translate(_TABLE)
    return sum(kinds.count(kind) * weight for kind, weight in _WEIGHTS)


def _asked(exchange: Exchange, request: ChatRequest, backend: Backend) -> Waiting[int | None]:
    body: dict[str, Any] = {"messages": request.messages, "add_generation_prompt": True}
    if request.has_tools:
        body["tools"] = request.payload["tools"]
    try:
        with side_lease(exchange, backend, hurried=True) as lease:
            yield from lease.read_model()
            body["model"] = lease.model
            asked = backend.provider.post("/tokenize", body, backend.headers)
            status, answer = yield from lease.fetch(asked, _TIMEOUT)
    except RouterError:
        return None
    try:
        counted = orjson.loads(answer).get("count") if status == 200 else None
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return counted if isinstance(counted, int) else None


def _images(request: ChatRequest) -> int:
    contents = (message.get("content") for message in request.messages)
    lists = (content for content in contents if isinstance(content, list))
    return sum(part.get("type") == "image_url" for parts in lists for part in parts)
