"""Masks the router's own keys in everything it sends and writes, because a backend may quote the
key it received, e.g. in an error.

A key is replaced by asterisks of the same length, so that a declared body length stays correct. It
is also found with any of its characters percent-encoded or escaped for JSON or HTML, and in base64.
Keys of fewer than 8 characters, plain lower-case words and well-known placeholders are not masked,
because this would corrupt ordinary text.
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
# Without one of these no character is escaped in a way that `_plain()` does not list.
_ESCAPES = (b"\\u", b"%", b"&", b"\\\\")
# An escape whose end has yet to come.
_UNFINISHED = re.compile(
    rb"(?:\\{1,8}(?:u[0-9a-fA-F]{0,4})?|%[0-9a-fA-F]{0,2}|&#?[0-9a-zA-Z]{0,8}|[\x80-\xff]){1,4}"
)
_LONGEST_ESCAPE = 16  # bytes


class _Known:
    """All known keys in all encodings. Keys are never removed, because a key replaced by a reload
    is still secret."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: frozenset[str] = frozenset()
        # Longest first, because one form may contain another.
        self.forms: tuple[bytes, ...] = ()
        self.plain: tuple[bytes, ...] = ()  # not base64
        # By key, what each of its characters may be written as.
        self.units: tuple[tuple[re.Pattern[bytes], ...], ...] = ()
        self.escaped: tuple[re.Pattern[bytes], ...] = ()  # the same, as one pattern


_known = _Known()


def protect(keys: Iterable[str | None]) -> None:
    """Add keys to those that are masked."""
    with _known.lock:
        _known.keys |= {key for key in keys if key and _is_secret(key)}
        plain = {form for key in _known.keys for form in _plain(key)}
        _known.plain = tuple(sorted(plain, key=len, reverse=True))
        forms = plain.union(*map(_base64, _known.keys))
        _known.forms = tuple(sorted(forms, key=len, reverse=True))
        written = [[_ways(c) for c in key] for key in sorted(_known.keys, key=len, reverse=True)]
        _known.units = tuple(tuple(re.compile(way) for way in key) for key in written)
        _known.escaped = tuple(re.compile(b"".join(key)) for key in written)


def masked(data: bytes) -> bytes:
    """The bytes with all known keys masked; the same object if they contain none."""
    return _replaced(data, _known.forms)


def masked_plain(data: bytes) -> bytes:
    """`masked()` without base64, at a third of the cost, for the events of a stream."""
    return _replaced(data, _known.plain)


def _replaced(data: bytes, forms: tuple[bytes, ...]) -> bytes:
    for form in forms:
        if form in data:
            data = data.replace(form, b"*" * len(form))
    if _known.escaped and any(mark in data for mark in _ESCAPES):
        for pattern in _known.escaped:
            if pattern.search(data):
                data = pattern.sub(lambda found: b"*" * len(found[0]), data)
    return data


def masked_text(text: str) -> str:
    """`masked()` for text, such as the value of a header."""
    if not _known.forms:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    clean = masked(raw)
    return text if clean is raw else clean.decode("utf-8", "surrogatepass")


def masked_json(value: Any) -> Any:
    """`masked()` for a parsed value, in which all escapes have been resolved."""
    if not _known.forms:
        return value
    raw = orjson.dumps(value)
    clean = masked(raw)
    return value if clean is raw else orjson.loads(clean)


class Stream:
    """`masked()` for a body in chunks, since a key may span two of them."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The data that can be passed on; a possible start of a key is held back."""
        data = masked(self._held + data)
        keep = max((_begun(data, form) for form in _known.forms), default=0)
        keep = max(keep, *(_begun_escaped(data, units) for units in _known.units), 0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        """The data held back; called at the end of the body."""
        held, self._held = self._held, b""
        return held


def _begun(data: bytes, form: bytes) -> int:
    """The length of the longest proper prefix of `form` at the end of `data`."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return len(data) - at
        at = data.find(form[:1], at + 1)
    return 0


def _begun_escaped(data: bytes, units: tuple[re.Pattern[bytes], ...]) -> int:
    """The same for a key whose characters are escaped, each in its own way."""
    start = max(0, len(data) - len(units) * _LONGEST_ESCAPE)
    for first in re.finditer(units[0].pattern + rb"|[\\%&\x80-\xff]", data[start:]):
        begins = at = start + first.start()
        for unit in units:
            found = unit.match(data, at)
            if found is None:
                break
            at = found.end()
        if at == len(data) or _UNFINISHED.fullmatch(data, at):
            return len(data) - begins
    return 0


def _ways(character: str) -> bytes:
    """A pattern of the ways in which a character of a key may be written."""
    raw = character.encode("utf-8")
    # In JSON within JSON each backslash is doubled.
    ways = [re.escape(raw) if character.isalnum() else rb"\\{0,8}" + re.escape(raw)]
    utf16 = character.encode("utf-16-be")
    halves = [utf16[i : i + 2].hex() for i in range(0, len(utf16), 2)]
    ways.append(b"".join(rb"\\{1,8}u" + _either_case(half) for half in halves))
    ways.append(b"".join(b"%" + _either_case(f"{byte:02x}") for byte in raw))
    ways.append(rb"&#0{0,4}%d;" % ord(character))
    ways.append(rb"&#[xX]0{0,4}" + _either_case(f"{ord(character):x}") + b";")
    named = html.escape(character)
    if named != character:
        ways.append(named.encode())
    return b"(?:" + b"|".join(ways) + b")"


def _either_case(digits: str) -> bytes:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits).encode()


def _is_secret(key: str) -> bool:
    return len(key) >= _SHORTEST and key not in _PLACEHOLDERS and not _WORD.fullmatch(key)


def _plain(key: str) -> set[bytes]:
    """A key as encoded in headers, URLs, JSON or HTML."""
    texts = {key, quote(key), quote(key, safe=""), quote_plus(key), html.escape(key)}
    for ascii_only in (True, False):
        escaped = json.dumps(key, ensure_ascii=ascii_only)[1:-1]
        texts |= {escaped, escaped.replace("/", "\\/")}
    texts |= {text.lower() for text in texts if "%" in text}
    return {text.encode("utf-8") for text in texts}


def _base64(key: str) -> set[bytes]:
    """The invariant parts of a key's base64 form, for each alignment within a longer text."""
    raw = key.encode("utf-8")
    if len(raw) < 2 * _SHORTEST:
        return set()
    forms = set()
    for before in range(3):  # bytes before the key in its first group of three
        whole = base64.b64encode(b"\0" * before + raw)
        sure = whole[(0, 2, 3)[before] :].rstrip(b"=")
        if (before + len(raw)) % 3:
            sure = sure[:-1]  # it depends on what follows the key
        forms |= {sure, sure.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
