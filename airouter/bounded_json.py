"""JSON whose parse is bounded before it is begun: 60 MB of `{},` would become 1.6 GB of objects.

An element is counted by the bytes that every value costs at least one of: a comma, a colon, or the
beginning of a list or an object. A parsed element takes 40 to 100 bytes.
"""

from typing import Any

import orjson

ANSWER_ELEMENTS = 8_000_000  # of a whole answer: 2,048 embeddings of 3,072 numbers are 6.3 million
EVENT_ELEMENTS = 1_000_000  # of an event of a stream, a list of models, an error
_MARKS = (b",", b":", b"[", b"{")
_SLICE = 1 << 20


def loads(raw: bytes | bytearray, most: int = EVENT_ELEMENTS) -> Any:
    """What a backend sent.

    Raises:
        orjson.JSONDecodeError: it is not JSON, or has more than `most` elements.
    """
    if too_many(raw, most):
        raise orjson.JSONDecodeError(f"more than {most:,} elements", "", 0)
    return orjson.loads(raw)


def too_many(raw: bytes | bytearray, most: int) -> bool:
    """Whether a text of JSON has more than `most` elements. Costs nothing for one of fewer
    bytes."""
    if len(raw) <= most:
        return False
    found = 0
    for at in range(0, len(raw), _SLICE):
        piece = raw[at : at + _SLICE]
        found += sum(piece.count(mark) for mark in _MARKS)
        if found > most:
            return _outside_strings(raw, most) > most  # a long text may hold as many commas
    return False


def _outside_strings(raw: bytes | bytearray, most: int) -> int:
    """Elements counted without what is quoted, up to the slice in which they become more than
    `most`."""
    found, quoted, left = 0, False, b""
    for at in range(0, len(raw), _SLICE):
        piece = left + raw[at : at + _SLICE]
        # A backslash at the end belongs to what follows it.
        kept = len(piece) - (len(piece) - len(piece.rstrip(b"\\"))) % 2
        piece, left = piece[:kept], piece[kept:]
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[1 if quoted else 0 :: 2])
        quoted ^= len(parts) % 2 == 0
        found += sum(outside.count(mark) for mark in _MARKS)
        if found > most:
            break
    return found
