"""JSON of requests: what most backends' parser takes is taken, and nothing else."""

from typing import Any

import orjson
import pytest

from airouter.dialects.wire_json import from_client


@pytest.mark.parametrize(
    ("raw", "value", "replaced"),
    [
        (b'{"a": 1}', {"a": 1}, False),
        ('\ufeff{"a": "é"}'.encode(), {"a": "é"}, False),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}, False),
        ('{"a": "é"}'.encode("utf-32-be"), {"a": "é"}, False),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}, False),
        (b'{"a": "x\\ud83d"}', {"a": "x\ufffd"}, True),
        (b'{"a": "x\xed\xa0\xbd"}', {"a": "x\ufffd"}, True),
    ],
    ids=repr,
)
def test_what_is_read(raw: bytes, value: Any, replaced: bool) -> None:
    """Byte order marks and other encodings of Unicode; lone surrogates are replaced, and told."""
    assert from_client(raw) == (value, replaced)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b"\xef\xbb\xbf{",
        b'\xef\xbb\xbf{"a": NaN}',
        b'{"a": "\\ud83d", "b": Infinity}',
        b'{"a": "\\ud83d", "b": ' + b"[" * 100_000,
        b'\x00{"a": 1}',
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_refused(raw: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        from_client(raw)
