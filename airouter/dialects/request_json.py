"""Parses request bodies, including JSON with a byte order mark, in UTF-16 or with lone surrogates.

orjson parses valid JSON and rejects everything else. JSON that Python's own parser, which most
backends use, accepts without changing its meaning is parsed again here and corrected."""

import json
import re
from typing import Any, NoReturn

import orjson

from airouter.dialects.lenient_json import integer, well_formed

# Signs that a second parse may help: an escaped or encoded surrogate, a byte order mark, UTF-16 or
# UTF-32.
_ODD = re.compile(
    rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff|.?\x00)", re.DOTALL
)


def loads(raw: bytes) -> tuple[Any, bool]:
    """Parse a JSON text.

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
