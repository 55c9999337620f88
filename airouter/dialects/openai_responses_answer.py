"""Whole answers in OpenAI's chat format as responses. They are read as a stream of one chunk, so
that both forms say the same."""

from typing import Any

import orjson

from airouter.dialects.openai_forms import as_events
from airouter.dialects.openai_responses_stream import Events
from airouter.dialects.wire_json import lenient


class Whole(Events):
    """A chat completion as a response. Args: as of `Events`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        super().feed(as_events(lenient(b"".join(self._parts))))
        return orjson.dumps(self.response)

    def say(self, name: str, **fields: Any) -> bytes:
        return b""  # a whole answer has no events
