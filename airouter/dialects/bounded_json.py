"""Limits the memory of JSON parsing: 60 MB of `{},` would become 1.6 GB of objects.

Elements are estimated before parsing by counting commas, colons and opening brackets; every value
needs at least one of these. A parsed element takes 40 to 100 bytes.
"""

from typing import Any

import orjson

ANSWER_ELEMENTS = 8_000_000  # per answer: 2,048 embeddings of 3,072 numbers have 6.3 million
EVENT_ELEMENTS = 1_000_000  # per event of a stream, list of models, or error
_MARKS = (b",", b":", b"[", b"{")
_SLICE = 1 << 20


def loads(raw: bytes | bytearray, most: int = EVENT_ELEMENTS) -> Any:
    """Parse JSON from a backend.

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
