"""Keeps the router's own keys out of what it sends and writes: a backend may quote the key it was
sent in an error.

A key is masked by stars of the same length, so that a declared length of a body stays right. It is
also found percent-encoded, escaped for JSON or HTML, and in base64. Keys of fewer than 8
characters, plain lower-case words and well-known placeholders are left alone: to mask them would
spoil ordinary text.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

_SHORTEST = 8
_PLACEHOLDERS = frozenset(
    {"no-key-needed", "no-key-required", "sk-no-key-required", "not-needed", "lm-studio"}
)
_WORD = re.compile(r"[a-z]+")


class _Known:
    """The keys as they may be written; replaced whole, and only ever added to: a key that a reload
    has just replaced is a secret still."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: frozenset[str] = frozenset()
        # Longest first: one may contain another.
        self.forms: tuple[bytes, ...] = ()
        self.plain: tuple[bytes, ...] = ()  # not base64


_known = _Known()


def protect(keys: Iterable[str | None]) -> None:
    """Mask these keys from now on, beside those known before."""
    with _known.lock:
        _known.keys |= {key for key in keys if key and _is_secret(key)}
        plain = {form for key in _known.keys for form in _plain(key)}
        _known.plain = tuple(sorted(plain, key=len, reverse=True))
        forms = plain.union(*map(_base64, _known.keys))
        _known.forms = tuple(sorted(forms, key=len, reverse=True))


def masked(data: bytes) -> bytes:
    """The bytes with every known key masked; the same object when there is none in them."""
    return _replaced(data, _known.forms)


def masked_plain(data: bytes) -> bytes:
    """`masked()` without looking for base64, at a third of the cost: for the pieces of an
    answer."""
    return _replaced(data, _known.plain)


def _replaced(data: bytes, forms: tuple[bytes, ...]) -> bytes:
    for form in forms:
        if form in data:
            data = data.replace(form, b"*" * len(form))
    return data


def masked_text(text: str) -> str:
    """`masked()` for text, such as the value of a header."""
    if not _known.forms:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    clean = masked(raw)
    return text if clean is raw else clean.decode("utf-8", "surrogatepass")


def masked_json(value: Any) -> Any:
    """`masked()` for what was parsed: whatever escapes the text had, it has them no more."""
    if not _known.forms:
        return value
    raw = orjson.dumps(value)
    clean = masked(raw)
    return value if clean is raw else orjson.loads(clean)


class Stream:
    """`masked()` for a body that comes in pieces: a key may begin in one and end in the next."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may be sent on; the beginning of what might be a key is held back."""
        data = masked(self._held + data)
        keep = max((_begun(data, form) for form in _known.forms), default=0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        """What was held back, at the body's end."""
        held, self._held = self._held, b""
        return held


def _begun(data: bytes, form: bytes) -> int:
    """How many bytes at the end of `data` are a beginning of `form`, at most all but its last."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return len(data) - at
        at = data.find(form[:1], at + 1)
    return 0


def _is_secret(key: str) -> bool:
    return len(key) >= _SHORTEST and key not in _PLACEHOLDERS and not _WORD.fullmatch(key)


def _plain(key: str) -> set[bytes]:
    """A key as it may be written in a header, an address, a JSON or an HTML text."""
    texts = {key, quote(key), quote(key, safe=""), quote_plus(key), html.escape(key)}
    for ascii_only in (True, False):
        escaped = json.dumps(key, ensure_ascii=ascii_only)[1:-1]
        texts |= {escaped, escaped.replace("/", "\\/")}
    texts |= {text.lower() for text in texts if "%" in text}
    return {text.encode("utf-8") for text in texts}


def _base64(key: str) -> set[bytes]:
    """What is certain of a key in base64, wherever it begins in a longer text."""
    raw = key.encode("utf-8")
    if len(raw) < 2 * _SHORTEST:
        return set()
    forms = set()
    for before in range(3):  # bytes in front of it that share a group of three with it
        whole = base64.b64encode(b"\0" * before + raw)
        sure = whole[(0, 2, 3)[before] :].rstrip(b"=")
        if (before + len(raw)) % 3:
            sure = sure[:-1]  # it depends on what follows the key
        forms |= {sure, sure.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
