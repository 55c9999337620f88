"""Streams in OpenAI's format as the events of Anthropic's Messages API."""

from collections.abc import Callable
from typing import Any

import orjson

from airouter.dialects import carried
from airouter.dialects.blocks import Block, Blocks, Kind, named
from airouter.dialects.messages_answer import opening, stop_of, usage_of
from airouter.dialects.openai_stream import index_of
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTAS: dict[Kind, bytes] = {
    "text": b'"delta":{"type":"text_delta","text":',
    "thinking": b'"delta":{"type":"thinking_delta","thinking":',
    "tool": b'"delta":{"type":"input_json_delta","partial_json":',
}
_KINDS: dict[str, Kind] = {"thinking": "thinking", "tool_use": "tool"}
_END = b"}}\n\n"  # of an event with a piece


class Events(Blocks):
    """A stream of chunks as a message's events.

    Args: as of `Whole`.
        error: an error as an event.
    """

    def __init__(
        self,
        id: str,
        model: str,
        stops: tuple[str, ...],
        *,
        thinks: bool,
        error: Callable[[dict[str, Any]], bytes],
    ) -> None:
        super().__init__(thinks=thinks)
        self._id = id
        self._model = model
        self._stops = stops
        self._failed = error
        self._before = b""  # how an event with a piece of the block begins
        self._ended = False  # a native stream has said why

    def begin(self) -> bytes:
        message = opening(self._id, self._model)
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = usage_of(None)  # the end has the counts
        return _event("message_start", {"message": message}) + _PING

    def opened(self, block: Block) -> bytes:
        self._before = _piece_of(self.index, block.kind)
        content: dict[str, Any] = {"type": "text", "text": ""}
        if block.kind == "thinking":
            content = {"type": "thinking", "thinking": "", "signature": ""}
        elif block.kind == "tool":
            known = block.id or f"toolu_{self._id[4:]}_{self.index}"
            content = {"type": "tool_use", "id": known, "name": block.name, "input": {}}
        return _event("content_block_start", {"index": self.index, "content_block": content})

    def piece(self, text: bytes) -> bytes:
        return self._before + text + _END

    def closed(self, block: Block) -> bytes:
        return _event("content_block_stop", {"index": self.index})

    def _event(self, event: bytes) -> bytes:
        if (native := carried.of_event(event)) is None:
            return super()._event(event)
        return b"" if self._over else self._pass(*native)

    def _pass(self, kind: str, payload: bytes) -> bytes:
        """An event of a backend that speaks Messages as well. Noted is what a backend that
        continues the stream would have to go on with: it may speak OpenAI's format."""
        self._begun = self._thinks = True
        self._flowing = None
        if kind == "content_block_start":
            said = lenient(payload, EVENT_ELEMENTS)
            opened = said.get("content_block")
            name = named(opened.get("type")) if isinstance(opened, dict) else ""
            block = Block(_KINDS.get(name, "text"))
            block.opened = True
            self._blocks.append(block)
            if block.kind == "tool":
                self._called[len(self._called)] = block  # as the chunks number them
            self.index = index_of(said)
            self._before = _piece_of(self.index, block.kind)
        elif kind == "content_block_stop" and self._blocks:
            self._blocks.popleft()
            self.index += 1
        elif kind == "message_delta":
            self._ended = True
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload)

    def end(self, *, called: bool) -> bytes:
        if self._ended:
            return _event("message_stop", {})
        reason, stop = stop_of(self.choice, self._stops, called=called, refused=self.refused)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        last = _event("message_delta", {"delta": delta, "usage": usage_of(self.usage)})
        return last + _event("message_stop", {})

    def error(self, error: dict[str, Any]) -> bytes:
        return self._failed(error)


def _piece_of(index: int, kind: Kind) -> bytes:
    """How an event with a piece of a block begins."""
    start = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,' % index
    return start + _DELTAS[kind]


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
