"""Answers in OpenAI's chat format as responses: what whole ones and streams have in common. A whole
one is read as a stream of one event, so that both say the same."""

import orjson

from airouter.dialects.openai_forms import as_events
from airouter.dialects.openai_responses_stream import Events
from airouter.dialects.wire_json import lenient


class Whole:
    """A chat completion as a response.

    Args:
        events: makes the response.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        self._events.feed(as_events(lenient(b"".join(self._parts))))
        return orjson.dumps(self._events.response)
