"""A lenient JSON parser for answers of backends.

Python's encoder writes bare `NaN` and `Infinity`, JavaScript's may split an emoji into two lone
surrogates, and some servers send a byte order mark. Clients accept all of this, so the router does.
"""

import json
import math
from typing import Any

import orjson

from airouter.dialects.bounded_json import ANSWER_ELEMENTS, too_many

_BOM = b"\xef\xbb\xbf"


def loads(raw: bytes, most: int = ANSWER_ELEMENTS) -> Any:
    """Parse a JSON text, strictly at first, so that valid JSON has no extra cost.

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
