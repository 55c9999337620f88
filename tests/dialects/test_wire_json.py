"""JSON as servers and frontends really send it."""

from __future__ import annotations

import math

import orjson
import pytest

from airouter.dialects.wire_json import lenient, well_formed, without_bom


def test_valid_json_is_read_as_ever() -> None:
    assert lenient(b'{"a": [1, "\\u00fc", null]}') == {"a": [1, "ü", None]}


def test_what_python_and_javascript_write() -> None:
    """Bare constants, a byte order mark, raw line breaks in a text, bytes that are no UTF-8."""
    value = lenient(b'\xef\xbb\xbf{"a": NaN, "b": -Infinity, "c": "x\ny", "d": "\xff"}')
    assert math.isnan(value["a"])
    assert (value["b"], value["c"], value["d"]) == (-math.inf, "x\ny", "\ufffd")


def test_a_number_beyond_all_measure_is_infinite() -> None:
    """It spoils nothing beside it."""
    value = lenient(b'{"a": NaN, "b": ' + b"9" * 400 + b', "c": -' + b"9" * 400 + b"}")
    assert (value["b"], value["c"]) == (math.inf, -math.inf)


def test_what_is_read_can_be_written_again() -> None:
    """Half an emoji becomes U+FFFD, in keys as well; a pair of halves becomes the emoji."""
    value = lenient(b'{"\\ud83d": ["a\\ud83d", "\\ud83d\\ude00"], "n": NaN}')
    assert value["\ufffd"] == ["a\ufffd", "😀"]
    assert orjson.dumps(value)
    assert well_formed("\ud83d" + "\ude00") == "😀"


@pytest.mark.parametrize("raw", [b"", b"{", b"nope", b"{'a': 1}", b"[" * 100_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the parser says
        lenient(raw)


def test_a_byte_order_mark_is_cut_off() -> None:
    assert without_bom(b"\xef\xbb\xbf{}") == b"{}"
    assert without_bom(b"{}") == b"{}"
