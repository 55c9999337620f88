"""JSON as language models write it: single quotes, trailing commas, line breaks within texts,
Python's True and None, brackets that are never closed."""

import json
import re
from dataclasses import dataclass
from typing import Any

_STRICT = json.JSONDecoder(strict=False)  # which lets line breaks within texts pass
_MAX_DEPTH = 64
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[\w.+-]+")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_BEHIND_TEXT = re.compile(r"\s*(?:[,:}\]<`]|\Z)")  # what can follow a text's last quote


@dataclass(frozen=True, slots=True)
class Loose:
    """An object or a list that was read.

    `end`: where it ends in the text. `closed`: no bracket is missing. `cut`: the text ends in the
    middle of a value, or before one.
    """

    value: Any
    end: int
    closed: bool = True
    cut: bool = False


def read(text: str, at: int = 0) -> Loose | None:
    """The object or list that begins at a position; None where there is none. Where the text ends
    early, what there is of it. A `<` or a backtick between values ends it, too."""
    if text[at : at + 1] not in ("{", "["):
        return None
    try:
        return Loose(*_STRICT.raw_decode(text, at))
    except ValueError:
        pass
    except RecursionError:
        return None
    reader = _Reader(text, at)
    try:
        value = reader.value(0)
    except _Unreadable:
        return None
    return Loose(value, reader.at, reader.closed, reader.cut)


class _Unreadable(Exception):
    """It is not JSON, not even loosely."""


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self.closed, self.cut = True, False

    def value(self, depth: int) -> Any:
        text, at = self.text, self.at
        if depth > _MAX_DEPTH:
            raise _Unreadable
        first = text[at]
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        if first in _PLAIN:
            return self._text(first)
        word = _WORD.match(text, at)
        if word is None:
            raise _Unreadable
        self.at = word.end()
        self.cut = self.at == len(text)
        if word[0].lower() in _WORDS:
            return _WORDS[word[0].lower()]
        try:
            return json.loads(word[0])
        except ValueError:
            if self.cut:
                return None
            raise _Unreadable from None

    def _next(self) -> str:
        """The next character that is not a blank; "" at the end, which closes nothing."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        found = self.text[self.at : self.at + 1]
        if found in ("", "<", "`"):
            self.closed = False
            if not found and self.text[: self.at].rstrip()[-1:] in tuple("{[,:"):
                self.cut = True  # a value was to follow
            return ""
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while (first := self._next()) != "}":
            if not first:
                return found
            if first == ",":
                self.at += 1
                continue
            key = self._key(first)
            if self.cut:
                self.closed = False
                return found
            found[key] = None
            if self._next() == ":":
                self.at += 1
                if self._next():
                    found[key] = self.value(depth + 1)
                    if self.closed and not self.cut and self._next() not in ("", ",", "}"):
                        raise _Unreadable
                    if self.closed and not self.cut:
                        continue
                    self.closed = False
                    return found
            elif self.closed:
                raise _Unreadable
            self.cut = True
            return found
        self.at += 1
        return found

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while (first := self._next()) != "]":
            if not first:
                return found
            if first == ",":
                self.at += 1
                continue
            found.append(self.value(depth + 1))
            if self.cut or not self.closed:
                self.closed = False
                return found
            if self._next() not in ("", ",", "]"):
                raise _Unreadable
        self.at += 1
        return found

    def _key(self, first: str) -> str:
        if first in _PLAIN:
            return self._text(first)
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise _Unreadable
        self.at = word.end()
        self.cut = self.at == len(self.text)
        return word[0]

    def _text(self, quote: str) -> str:
        text, parts = self.text, list[str]()
        self.at += 1
        while True:
            plain = _PLAIN[quote].match(text, self.at)
            assert plain is not None  # it may be empty
            parts.append(plain[0])
            self.at = plain.end()
            if self.at >= len(text):
                break
            if text[self.at] == "\\":
                if self.at + 1 >= len(text):
                    break
                parts.append(self._escaped())
                continue
            self.at += 1
            if quote == '"' or _BEHIND_TEXT.match(text, self.at):
                return "".join(parts)
            parts.append(quote)  # an apostrophe
        self.at, self.cut, self.closed = len(text), True, False
        return "".join(parts)

    def _escaped(self) -> str:
        kind = self.text[self.at + 1]
        self.at += 2
        if kind == "u":
            digits = self.text[self.at : self.at + 4]
            try:
                character = chr(int(digits, 16))
            except ValueError:
                return "\\u"
            self.at += 4
            return character
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        # As in a path or a regular expression that was not escaped.
        return kind if kind in "\"'\\/" else f"\\{kind}"
