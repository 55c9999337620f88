"""Parses JSON from the network: bounded before it is parsed, and as leniently as the peer's own
clients would.
"""

import json
import math
import re
from typing import Any, NoReturn

import orjson

_BOM = b"\xef\xbb\xbf"
ANSWER_ELEMENTS = 8_000_000  # per answer: 2,048 embeddings of 3,072 numbers have 6.3 million
EVENT_ELEMENTS = 1_000_000  # per event of a stream, list of models, or error
_MARKS = (b",", b":", b"[", b"{")
_SLICE = 1 << 20
# Signs that a second parse may help: an escaped or encoded surrogate, a byte order mark, UTF-16 or
# UTF-32.
_ODD = re.compile(
    rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff|.?\x00)", re.DOTALL
)


def lenient(raw: bytes, most: int = ANSWER_ELEMENTS) -> Any:
    """Parse JSON from a backend, strictly at first, so that valid JSON has no extra cost.

    Bytes that are not UTF-8 and lone surrogates become U+FFFD, so that the value can be serialised
    again. NaN and Infinity become floats.

    Args:
        most: maximum number of elements, checked before parsing.

    Raises:
        ValueError: not JSON even by lenient rules, or too many elements.
    """
    if too_many(raw, most):
        raise ValueError(f"more than {most:,} elements")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    text = raw.removeprefix(_BOM).decode("utf-8", "replace")
    try:
        return _without_surrogates(json.loads(text, strict=False, parse_int=integer))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def integer(digits: str) -> int | float:
    """As orjson reads it, so that it can be written again: an integer of more than 64 bits is a
    float."""
    number = int(digits)
    if -(2**63) <= number < 2**64:
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def without_bom(raw: bytes) -> bytes:
    """The text without a byte order mark, which most parsers reject."""
    return raw.removeprefix(_BOM)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {well_formed(key): _without_surrogates(item) for key, item in value.items()}
    return value


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def strict(raw: bytes | bytearray, most: int = EVENT_ELEMENTS) -> Any:
    """Parse JSON, within the standard.

    Raises:
        orjson.JSONDecodeError: not JSON, or more than `most` elements.
    """
    if too_many(raw, most):
        raise orjson.JSONDecodeError(f"more than {most:,} elements", "", 0)
    return orjson.loads(raw)


def too_many(raw: bytes | bytearray, most: int) -> bool:
    """Whether a JSON text has more than `most` elements. Free for texts of fewer bytes."""
    if len(raw) <= most:
        return False
    found = 0
    for at in range(0, len(raw), _SLICE):
        piece = raw[at : at + _SLICE]
        found += sum(piece.count(mark) for mark in _MARKS)
        if found > most:
            return _outside_strings(raw, most) > most  # a long string may contain many commas
    return False


def _outside_strings(raw: bytes | bytearray, most: int) -> int:
    """The number of elements outside of strings; stops counting beyond `most`."""
    found, quoted, left = 0, False, b""
    for at in range(0, len(raw), _SLICE):
        piece = left + raw[at : at + _SLICE]
        # A trailing backslash belongs to the next slice.
        kept = len(piece) - (len(piece) - len(piece.rstrip(b"\\"))) % 2
        piece, left = piece[:kept], piece[kept:]
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[1 if quoted else 0 :: 2])
        quoted ^= len(parts) % 2 == 0
        found += sum(outside.count(mark) for mark in _MARKS)
        if found > most:
            break
    return found


def from_client(raw: bytes) -> tuple[Any, bool]:
    """Parse a client's request.

    Returns:
        The value, and whether lone surrogates, which cannot be encoded, were replaced by U+FFFD.

    Raises:
        orjson.JSONDecodeError: not JSON; contains the position.
    """
    try:
        return orjson.loads(raw), False
    except orjson.JSONDecodeError:
        if _ODD.search(raw) is None:
            raise
        try:
            text = raw.decode(json.detect_encoding(raw), "surrogatepass")
            value = json.loads(text, parse_constant=_refused, parse_int=integer)
            return _whole_characters(value)
        except (ValueError, RecursionError, OverflowError):
            pass
        raise


def _whole_characters(value: Any) -> tuple[Any, bool]:
    """The value without lone surrogates. Serialised and parsed again, because only orjson limits
    the nesting depth."""
    text = json.dumps(value, ensure_ascii=False)
    whole = well_formed(text)
    return orjson.loads(whole), whole != text


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
