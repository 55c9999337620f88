"""Streams in OpenAI's format as the events of Anthropic's Messages API."""

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import orjson

from airouter.dialects import sse
from airouter.dialects.alike import Alike, alike, alike_call
from airouter.dialects.messages_answer import (
    REASONING,
    named,
    opening,
    stop_of,
    thought_of,
    usage_of,
)
from airouter.dialects.openai_errors import error_in, reason_of
from airouter.dialects.openai_request import text_of
from airouter.dialects.openai_stream import index_of, is_reason
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient

_TRIES = 3  # events from which to learn what those to come have in common
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
Kind = Literal["text", "thinking", "tool"]
_DELTAS: dict[Kind, bytes] = {
    "text": b'"delta":{"type":"text_delta","text":',
    "thinking": b'"delta":{"type":"thinking_delta","thinking":',
    "tool": b'"delta":{"type":"input_json_delta","partial_json":',
}
_END = b"}}\n\n"  # of an event with a piece


class _Block:
    """A content block that is under way: the pieces that have not been sent yet, as JSON texts; of
    a tool call also all of its arguments so far."""

    __slots__ = ("arguments", "id", "kind", "name", "opened", "pieces", "tries")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.id = ""
        self.name = ""
        self.opened = False
        self.pieces: list[bytes] = []
        self.arguments: list[bytes] = []
        self.tries = _TRIES

    def ended(self) -> bool:
        """Whether the next block may begin. A tool call that is under way may go on later:
        servers may send the pieces of parallel calls in any order."""
        if self.kind != "tool":
            return True
        try:
            return orjson.loads("".join(map(orjson.loads, self.arguments))) is not None
        except orjson.JSONDecodeError:
            return False


class Events:
    """A stream of chunks as a message's events. A piece of text is passed on as the backend wrote
    it. Blocks are sent one after the other; what belongs to a later one waits.

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
        self._id = id
        self._model = model
        self._stops = stops
        self._thinks = thinks
        self._failed = error
        self._events = sse.Splitter()
        self._alike: Alike | None = None  # most events: text, reasoning, or a call's arguments
        self._from, self._to = 0, 0  # where their text stands
        self._belongs: Kind | _Block = "text"  # to what it belongs: a kind of block, or a call's
        self._arguments: list[bytes] | None = None  # of that call
        self._tries = _TRIES
        self._begun = False
        self._over = False
        self._blocks: deque[_Block] = deque()  # the first is open, the others wait
        self._index = 0  # of the first
        self._flowing: Kind | _Block | None = None  # of what pieces can be sent as they come
        self._before = b""  # what stands before it
        self._called: dict[Any, _Block] = {}  # all calls, by what tells them apart
        self._refused = False
        self._choice: dict[str, Any] = {}  # the one that gave the reason
        self._usage: Any = None

    def feed(self, data: bytes) -> bytes:
        """Chunks in, events out."""
        usual = self._alike
        if usual is not None and usual.text_of(data) is not None:
            if self._flowing != self._belongs:
                return self._more(data)
            text = data[self._from : self._to]
            if self._arguments is not None:
                self._arguments.append(text)
            return self._before + text + _END
        return b"".join(map(self._look, self._events.feed(data)))

    def flush(self) -> bytes:
        return b""  # a stream that is complete ends with [DONE], any other with an error

    def _look(self, event: bytes) -> bytes:
        usual = self._alike
        if usual is not None and usual.text_of(event) is not None:
            return self._more(event)
        return self._event(event)

    def _more(self, event: bytes) -> bytes:
        """What becomes of an event that differs from others in its text alone."""
        text, to = event[self._from : self._to], self._belongs
        if not isinstance(to, _Block):
            return self._piece(to, text)
        to.arguments.append(text)
        to.pieces.append(text)
        return self._progress()

    def _event(self, event: bytes) -> bytes:
        payload = sse.payload_of(event)
        if not payload or self._over:
            return b""
        if payload == b"[DONE]":
            self._over = True
            return self._end()
        try:
            chunk = lenient(payload, EVENT_ELEMENTS)
        except ValueError:
            return b""
        if not isinstance(chunk, dict):
            return b""
        choices = chunk.get("choices")
        if not choices and (error := error_in(chunk)) is not None:
            self._over = True
            message = reason_of(error) or "The backend reported an error."
            return self._failed({**error, "message": message})
        self._usage = chunk.get("usage") or self._usage
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or index_of(choice) != 0:
            return b""
        if is_reason(choice.get("finish_reason")):
            self._choice = choice
        return self._begin() + self._said(event, chunk, choice)

    def _said(self, event: bytes, chunk: dict[str, Any], choice: dict[str, Any]) -> bytes:
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return b""
        sent = b""
        if thought := thought_of(delta):
            sent += self._piece("thinking", orjson.dumps(thought))
        self._refused = self._refused or bool(delta.get("refusal"))
        if text := text_of(delta) or delta.get("refusal"):
            sent += self._piece("text", orjson.dumps(text))
        if delta.get("tool_calls"):
            calls = delta["tool_calls"]
            calls = [one for one in calls if isinstance(one, dict)] if type(calls) is list else []
            blocks = [self._call(call) for call in calls]
            if len(calls) == 1 and blocks[0].tries and _is_piece(chunk, choice, delta, calls[0]):
                blocks[0].tries -= 1
                self._like(alike_call(event, chunk), blocks[0])
            sent += self._progress()
        elif self._tries and choice.get("finish_reason") is None and "delta" in choice:
            self._learn(event, chunk, delta)
        return sent

    def _learn(self, event: bytes, chunk: dict[str, Any], delta: dict[str, Any]) -> None:
        """See what the events to come have in common with this one, if it brought text alone."""
        said = [name for name, value in delta.items() if value and name != "role"]
        if len(said) != 1 or len(chunk["choices"]) != 1 or chunk.get("usage"):
            return
        if (said[0] == "content" or said[0] in REASONING) and isinstance(delta[said[0]], str):
            self._tries -= 1
            kind: Kind = "text" if said[0] == "content" else "thinking"
            self._like(alike(event, chunk, said[0]), kind)

    def _like(self, found: Alike | None, belongs: Kind | _Block) -> None:
        """Remember what events have in common, and to what their text belongs."""
        self._alike, self._belongs = found, belongs
        self._arguments = belongs.arguments if isinstance(belongs, _Block) else None
        if found is not None:
            self._from, self._to = len(found.before), -len(found.behind)

    # Blocks ---------------------------------------------------------------------------------------

    def _piece(self, kind: Kind, text: bytes) -> bytes:
        """A piece of text or of reasoning, which is JSON already."""
        if kind == "thinking" and not self._thinks:
            return b""
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(_Block(kind))
        self._blocks[-1].pieces.append(text)
        return self._progress()

    def _call(self, call: dict[str, Any]) -> _Block:
        """Add a piece of a tool call to its block, which is returned."""
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        block = self._block_of(call, function)
        block.id = block.id or named(call.get("id"))
        block.name = block.name or named(function.get("name"))
        given = function.get("arguments")
        if given and not isinstance(given, str):
            given = orjson.dumps(given).decode()
        if given:
            block.arguments.append(orjson.dumps(given))
            block.pieces.append(block.arguments[-1])
        return block

    def _block_of(self, call: dict[str, Any], function: dict[str, Any]) -> _Block:
        """Told by the index; without one by the id; a piece that has neither belongs to the
        last call."""
        index, known = call.get("index"), call.get("id")
        key: Any = index if index is not None else known
        if key is None and self._called and not function.get("name"):
            return next(reversed(self._called.values()))
        if key is None:
            key = ("nameless", len(self._called))
        if key not in self._called:
            self._called[key] = _Block("tool")
            self._blocks.append(self._called[key])
        return self._called[key]

    def _progress(self, *, over: bool = False) -> bytes:
        """Send what can be sent, and close blocks that have ended.

        Args:
            over: nothing more comes.
        """
        sent = []
        while self._blocks:
            block = self._blocks[0]
            if not block.opened and (block.kind != "tool" or block.name or over):
                block.opened = True
                sent.append(self._opened(block))
            if block.opened:
                before = self._delta(block.kind)
                sent += [before + piece + _END for piece in block.pieces]
                block.pieces.clear()
            if not over and (len(self._blocks) == 1 or not block.opened or not block.ended()):
                break
            sent.append(_event("content_block_stop", {"index": self._index}))
            self._blocks.popleft()
            self._index += 1
        self._flowing = None
        if len(self._blocks) == 1 and self._blocks[0].opened:
            only = self._blocks[0]
            self._flowing = only if only.kind == "tool" else only.kind
            self._before = self._delta(only.kind)
        return b"".join(sent)

    def _delta(self, kind: Kind) -> bytes:
        """How an event with a piece of the first block begins."""
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            % self._index
        ) + _DELTAS[kind]

    def _opened(self, block: _Block) -> bytes:
        content: dict[str, Any] = {"type": "text", "text": ""}
        if block.kind == "thinking":
            content = {"type": "thinking", "thinking": "", "signature": ""}
        elif block.kind == "tool":
            known = block.id or f"toolu_{self._id[4:]}_{self._index}"
            content = {"type": "tool_use", "id": known, "name": block.name, "input": {}}
        return _event("content_block_start", {"index": self._index, "content_block": content})

    # Beginning and end ----------------------------------------------------------------------------

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message = opening(self._id, self._model)
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = usage_of(None)  # the end has the counts
        return _event("message_start", {"message": message}) + _PING

    def _end(self) -> bytes:
        sent = self._begin() + self._progress(over=True)
        called = bool(self._called)
        reason, stop = stop_of(self._choice, self._stops, called=called, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        last = _event("message_delta", {"delta": delta, "usage": usage_of(self._usage)})
        return sent + last + _event("message_stop", {})


def _is_piece(
    chunk: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any], call: dict[str, Any]
) -> bool:
    """Whether a chunk brings nothing but more arguments for a call that its index tells."""
    said = [name for name, value in delta.items() if value and name != "role"]
    function = call.get("function")
    return (
        said == ["tool_calls"]
        and len(chunk["choices"]) == 1
        and not chunk.get("usage")
        and choice.get("finish_reason") is None
        and "delta" in choice
        and call.get("index") is not None
        and not call.get("id")
        and isinstance(function, dict)
        and not function.get("name")
        and isinstance(function.get("arguments"), str)
        and function["arguments"] != ""
    )


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
