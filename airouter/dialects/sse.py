"""Server-sent events: where one ends, and what it carries. Every dialect that streams uses this."""

import re

MAX_EVENT = 16 * 1024 * 1024
TOO_LONG = "an event of more than 16 MB"
# An empty line, by whatever line ends the server writes.
_BOUNDARY = re.compile(rb"\n\r?\n|\r\r")
_LONGEST = 3  # bytes of a boundary
_HEAD = 1000  # bytes of an event that tell whether it is a comment


class Splitter:
    """Whole events out of pieces of a stream."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now.

        Raises:
            ValueError: an event longer than 16 MB.
        """
        data, events, start = self._tail + data, [], 0
        while (stop := next_boundary(data, start, b"\r" not in data)) > 0:
            events.append(data[start:stop])
            start = stop
        self._tail = data[start:]
        if len(self._tail) > MAX_EVENT:
            raise ValueError(TOO_LONG)
        return events


def next_boundary(data: bytes, start: int, plain: bool) -> int:
    """The index just behind the first end of an event at or after `start`; -1 if there is none.

    Args:
        plain: there is no carriage return in the data.
    """
    if plain:
        end = data.find(b"\n\n", start)
        return end + 2 if end >= 0 else -1
    found = _BOUNDARY.search(data, start)
    return found.end() if found else -1


def ends_in(tail: bytes | bytearray, data: bytes) -> bool:
    """Whether the event that began with `tail` ends in `data`; looks at no more of `tail` than an
    end may span."""
    return _BOUNDARY.search(bytes(tail[1 - _LONGEST :]) + data) is not None


def payload_of(event: bytes) -> bytes | None:
    """The data of an event (several data lines joined by newlines); None for a comment or an empty
    event."""
    if event.startswith(b"data:") and event.count(b"\n") <= 2 and b"\r" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in lines_of(event).split(b"\n") if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None


def lines_of(event: bytes) -> bytes:
    """The event with plain line ends."""
    return event.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def is_comment(event: bytes | bytearray) -> bool:
    """Whether an event, or its beginning, is a comment."""
    return event[:_HEAD].lstrip().startswith(b":")
