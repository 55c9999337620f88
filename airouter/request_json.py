"""JSON as other programs write it: with a byte order mark, in UTF-16, or with half of a
surrogate pair in its strings.

orjson reads what is correct, and refuses the rest. What Python's own parser, which most backends
use, would accept without changing its meaning is read here a second time, and made correct."""

import json
import re
from typing import Any, NoReturn

import orjson

from airouter.lenient_json import integer, well_formed

# Bytes that the second reading can help with: an escaped or encoded surrogate, a byte order mark,
# UTF-16 or UTF-32.
_ODD = re.compile(
    rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff|.?\x00)", re.DOTALL
)


def loads(raw: bytes) -> tuple[Any, bool]:
    """The value, and whether characters were replaced: a lone surrogate, which cannot be sent
    on, becomes U+FFFD.

    Raises:
        orjson.JSONDecodeError: it is not JSON, with the position.
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
    """The value without lone surrogates. Written again and read, because only orjson bounds the
    depth it accepts."""
    text = json.dumps(value, ensure_ascii=False)
    whole = well_formed(text)
    return orjson.loads(whole), whole != text


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
