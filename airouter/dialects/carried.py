"""Answers that pass from a backend to a client of the same dialect: in OpenAI's format, in which
they are judged and recorded, with the original beside it.

An event is carried by a comment before the chunks with its meaning, which the router passes on as
it passes all comments on; a whole answer by a field of its own. Pieces of text, of reasoning and of
arguments are not carried: nothing of them is lost, and nearly all events are such pieces.
"""

from typing import Any

import orjson

FIELD = "original"  # of a whole answer; of a delta or message: kinds of content it cannot express
_COMMENT = b":original "


def before(kind: str, payload: bytes, chunks: bytes) -> bytes:
    """Chunks that carry the event they were translated from.

    Args:
        payload: its data.
    """
    if b"\n" in payload:  # several lines of data
        payload = orjson.dumps(orjson.loads(payload))
    end = b"\n" if chunks else b"\n\n"
    return _COMMENT + kind.encode() + b" " + payload + end + chunks


def of_event(event: bytes) -> tuple[str, bytes] | None:
    """The event that one carries: its type and data."""
    if not event.startswith(_COMMENT):
        return None
    kind, _, payload = event[len(_COMMENT) :].partition(b"\n")[0].partition(b" ")
    return kind.decode(), payload


def in_whole(raw: bytes) -> dict[str, str]:
    """The field that carries a whole answer."""
    return {FIELD: raw.decode("utf-8", "replace")}


def of_whole(payload: dict[str, Any]) -> bytes | None:
    """The whole answer that one carries."""
    original = payload.get(FIELD)
    return original.encode() if isinstance(original, str) else None
