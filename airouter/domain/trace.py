"""W3C Trace Context: the trace that a request belongs to, across programs."""

import os
import re

from airouter.domain.types import immutable

HEADER = "traceparent"
_FORMAT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NONE = ("0" * 32, "0" * 16)


@immutable
class Trace:
    """The trace of a request: its id, the id of the request's own span, the caller's span, and
    whether spans are recorded."""

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool

    def child(self) -> tuple[str, str]:
        """(id of a new span, the header that hands it on) for a call to a backend."""
        span_id = os.urandom(8).hex()
        return span_id, f"00-{self.trace_id}-{span_id}-{'01' if self.sampled else '00'}"


def trace_of(header: str | None, fallback_id: str, share: float) -> Trace:
    """The trace that a request continues, or begins.

    Args:
        header: the request's `traceparent`; one that is not valid is ignored, as the standard says.
        fallback_id: 32 hexadecimal digits, of a trace that begins here.
        share: of the traces that begin here, those that are recorded, 0..1.
    """
    found = _FORMAT.fullmatch(header.strip().lower()) if header else None
    span_id = os.urandom(8).hex()
    if found is None or found[1] == _NONE[0] or found[2] == _NONE[1]:
        sampled = int(fallback_id[:8], 16) < share * 2**32
        return Trace(fallback_id, span_id, None, sampled)
    return Trace(found[1], span_id, found[2], bool(int(found[3], 16) & 1))
