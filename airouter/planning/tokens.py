"""How many tokens a prompt has: an estimate from the kinds of its characters, until the backend has
counted them.

The weights were fitted to 307 texts: English (documentation, licences, short requests), code in
16 languages, Chinese, Japanese and Korean. Tokenizers: Qwen's (`qwen.tiktoken` of the package
dashscope) and cl100k (of the package litellm 1.110), whichever counts more. On English, code and
CJK the estimate was at most 15 % low, and at most 80 % high (for numbers, which cl100k takes three
digits at a time).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.types import Features

# Estimate ÷ count within which a limit is doubtful: 0.85 to 1.45 for most of the texts, and some
# more for tokenizers with small vocabularies, such as the 32,000 tokens of Llama 2.
_LOW, _HIGH = 0.65, 1.45
_MESSAGE = 5  # tokens that a chat template puts around a message
_IMAGE, _LEAST_IMAGE = 1000, 64  # tokens: a megapixel for Qwen-VL; a small picture
_MOST_PER_CHAR = 4  # tokens: one per byte of UTF-8
_FEW = 2000  # bytes, for which NumPy is slower

# The kind of each byte of UTF-8: letters, digits, spaces, line ends, lead bytes by script.
_KINDS = bytearray(b"." * 256)
for _first, _last, _kind in (
    (0x41, 0x5A, b"A"),
    (0x61, 0x7A, b"a"),
    (0x30, 0x39, b"0"),
    (0x09, 0x09, b" "),
    (0x20, 0x20, b" "),
    (0x0A, 0x0D, b"\n"),
    (0x80, 0xBF, b"-"),  # not the first byte of a character
    (0xC0, 0xDF, b"2"),  # accents, Greek, Cyrillic, Hebrew, Arabic
    (0xE0, 0xE2, b"3"),  # Indic and others
    (0xE3, 0xE9, b"k"),  # kana and Chinese characters
    (0xEA, 0xED, b"h"),  # hangul
    (0xEE, 0xEF, b"3"),
    (0xF0, 0xFF, b"4"),  # emoji
):
    _KINDS[_first : _last + 1] = _kind * (_last - _first + 1)
_TABLE = bytes(_KINDS)
# Of each kind, or of two that follow each other (the start of a word, a hump in camelCase): tokens
# as usual, and at the least.
_WEIGHTS: tuple[tuple[bytes, float, float], ...] = (
    (b"a", 0.125, 0.12),
    (b"A", 0.145, 0.12),
    (b" a", 0.42, 0.3),
    (b" A", 0.42, 0.3),
    (b"aA", 1.1, 0.3),
    (b"0", 1.4, 0.33),
    (b".", 0.92, 0.02),
    (b"\n", 1.4, 0.02),
)
_BEYOND_ASCII: tuple[tuple[bytes, float, float], ...] = (
    (b"2", 0.56, 0.3),
    (b"3", 1.45, 0.35),
    (b"k", 1.2, 0.5),
    (b"h", 1.35, 0.6),
    (b"4", 3.0, 1.0),
)


def estimate(text: str) -> tuple[float, float]:
    """Tokens of a text: the estimate, and what it has at the least. Takes 3 ns per character of a
    long text, and a few microseconds for a short one."""
    count = _counter(text.encode("utf-8", "replace").translate(_TABLE))
    usual = least = 0.0
    for kind, weight, low in _WEIGHTS if text.isascii() else _WEIGHTS + _BEYOND_ASCII:
        found = count(kind)
        usual += found * weight
        least += found * low
    return usual, least


def _counter(kinds: bytes) -> Callable[[bytes], int]:
    """Counts one or two bytes that follow each other."""
    if len(kinds) < _FEW:
        return kinds.count
    seen = np.frombuffer(kinds, np.uint8)

    def count(kind: bytes) -> int:
        found = seen == kind[0]
        if len(kind) == 2:
            found = found[:-1] & (seen[1:] == kind[1])
        return int(np.count_nonzero(found))

    return count


class PromptTokens:
    """The tokens of one prompt: messages and tools. Mutable state: the estimate, made when it is
    first needed; the count, once a backend has told; whether one is needed."""

    __slots__ = ("_estimate", "_least", "_request", "asked", "at_most", "counted", "doubtful")

    def __init__(self, request: ChatRequest, features: Features) -> None:
        self._request = request
        self._estimate: int | None = None
        self._least = 0
        self.counted: int | None = None
        self.doubtful = False  # an answer of `exceeds()` may be wrong
        self.asked = False  # a backend has been asked, whether it told or not
        self.at_most: float = math.inf  # known at once for a plain chat
        plain = request.endpoint == "chat" and not (features.has_tools or features.has_images)
        if plain and not any("tool_calls" in message for message in request.messages):
            more = 4 * _MESSAGE * features.n_messages
            self.at_most = _MOST_PER_CHAR * features.total_chars + more

    @property
    def value(self) -> int:
        """As counted, else as estimated."""
        if self.counted is not None:
            return self.counted
        if self._estimate is None:
            self._make()
        assert self._estimate is not None
        return self._estimate

    def exceeds(self, limit: int) -> bool:
        """Whether there are more tokens than `limit`, as far as is known."""
        if self.at_most <= limit:
            return False
        value = self.value
        near = value / _HIGH <= limit < value / _LOW
        if self.counted is None and near:
            self.doubtful = True
        return value > limit

    def surely_within(self, limit: int) -> bool:
        """Whether there are certainly no more tokens than `limit`, as far as an estimate goes."""
        return self.at_most <= limit or self.value / _LOW <= limit

    def surely_exceeds(self, limit: int) -> bool:
        """Whether there are certainly more tokens than `limit`."""
        value = self.value
        return value > limit if self.counted is not None else self._least > limit

    def _make(self) -> None:
        usual = least = 0.0
        for text in _texts(self._request):
            more, low = (len(text), len(text)) if isinstance(text, list) else estimate(text)
            usual, least = usual + more, least + low
        messages = self._request.messages
        images = sum(
            part.get("type") in ("image_url", "input_image", "image")
            for message in messages
            if isinstance(content := message.get("content"), list)
            for part in content
        )
        self._estimate = round(usual + _MESSAGE * len(messages) + _IMAGE * images)
        self._least = round(least + len(messages) + _LEAST_IMAGE * images)


def _texts(request: ChatRequest) -> list[Any]:
    """What the model reads, in parts: text, or a list of token ids."""
    payload = request.payload
    if request.endpoint == "completions":
        prompt = payload.get("prompt")
        several = isinstance(prompt, list) and not (prompt and isinstance(prompt[0], int))
        parts = prompt if several else [prompt]
        known = [part for part in parts or () if isinstance(part, str | list)]
        return [max(known, key=len)] if known else []  # each is a prompt of its own
    texts: list[Any] = []
    for message in request.messages:
        texts.append(text_of(message))
        if message.get("tool_calls"):
            texts.append(_json(message["tool_calls"]))
    return texts + [_json(payload[name]) for name in ("tools", "functions") if payload.get(name)]


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode("utf-8", "replace")
