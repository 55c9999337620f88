"""JSON as servers and frontends really send it.

Python's own encoder writes bare `NaN` and `Infinity`, JavaScript's cuts an emoji into two lone
surrogates, some servers put a byte order mark first. Clients read all of that, so the router does.
"""

import json
from typing import Any

import orjson

from airouter.bounded_json import ANSWER_ELEMENTS, too_many

_BOM = b"\xef\xbb\xbf"


def loads(raw: bytes, most: int = ANSWER_ELEMENTS) -> Any:
    """The value of a JSON text; strict parsing first, so that valid JSON costs nothing extra.

    Bytes that are not UTF-8 and lone surrogates become U+FFFD, so that what is read can be
    written again. The constants NaN and Infinity become floats.

    Args:
        most: elements; a text of more is not parsed.

    Raises:
        ValueError: it is not JSON even so, or has too many elements.
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
    return number if -(2**63) <= number < 2**64 else float(number)


def without_bom(raw: bytes) -> bytes:
    """The text without a byte order mark, which most parsers refuse."""
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
