"""Answers in OpenAI's format as those of Anthropic's Messages API: a message, or a stream of its
events."""

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import orjson

from airouter.dialects import sse
from airouter.dialects.alike import Alike, alike
from airouter.dialects.openai_errors import error_in, reason_of
from airouter.dialects.openai_request import text_of
from airouter.dialects.openai_stream import index_of, is_reason
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient

_REASONING = ("reasoning_content", "reasoning", "thinking")
_TRIES = 3  # events from which to learn what those to come have in common
_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
Kind = Literal["text", "thinking", "tool"]
_DELTAS: dict[Kind, bytes] = {
    "text": b'"delta":{"type":"text_delta","text":',
    "thinking": b'"delta":{"type":"thinking_delta","thinking":',
    "tool": b'"delta":{"type":"input_json_delta","partial_json":',
}
Failed = Callable[[dict[str, Any]], bytes]


class Whole:
    """A chat completion as a message.

    Args:
        id: of the message.
        model: as the client calls it.
        stops: the stop sequences of the request.
        thinks: whether reasoning is shown.
    """

    def __init__(
        self, id: str, model: str, stops: tuple[str, ...], *, thinks: bool, error: Failed
    ) -> None:
        self._id = id
        self._model = model
        self._stops = stops
        self._thinks = thinks
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        payload = lenient(b"".join(self._parts))
        choice = payload["choices"][0]
        said = choice.get("message") or {}
        content: list[dict[str, Any]] = []
        if self._thinks and (thought := _thought(said)):
            content.append({"type": "thinking", "thinking": thought, "signature": ""})
        if text := text_of(said) or said.get("refusal"):
            content.append({"type": "text", "text": text})
        calls = said.get("tool_calls")
        for index, call in enumerate(calls if isinstance(calls, list) else []):
            content.append(_tool_use(call, f"toolu_{self._id[4:]}_{index}"))
        called = bool(content) and content[-1]["type"] == "tool_use"
        reason, stop = _stop(choice, self._stops, called=called, refused=bool(said.get("refusal")))
        answer = _opening(self._id, self._model)
        answer |= {"content": content, "stop_reason": reason, "stop_sequence": stop}
        return orjson.dumps(answer | {"usage": _usage(payload.get("usage"))})


class _Block:
    """A content block that is under way: the pieces that have not been sent yet, as JSON texts; of
    a tool call also all of its arguments so far."""

    __slots__ = ("arguments", "id", "key", "kind", "name", "opened", "pieces")

    def __init__(self, kind: Kind, key: Any = None) -> None:
        self.kind = kind
        self.key = key
        self.id = ""
        self.name = ""
        self.opened = False
        self.pieces: list[bytes] = []
        self.arguments: list[str] = []

    def ended(self) -> bool:
        """Whether the next block may begin. A tool call that is under way may go on later:
        servers may send the pieces of parallel calls in any order."""
        if self.kind != "tool":
            return True
        try:
            return bool(orjson.loads("".join(self.arguments)) is not None)
        except orjson.JSONDecodeError:
            return False


class Events:
    """A stream of chunks as a message's events. A piece of text is passed on as the backend wrote
    it. Blocks are sent one after the other; what belongs to a later one waits.

    Args: as of `Whole`.
        error: an error as an event.
    """

    def __init__(
        self, id: str, model: str, stops: tuple[str, ...], *, thinks: bool, error: Failed
    ) -> None:
        self._id = id
        self._model = model
        self._stops = stops
        self._thinks = thinks
        self._failed = error
        self._events = sse.Splitter()
        self._alike: Alike | None = None  # most events
        self._tries = _TRIES
        self._begun = False
        self._over = False
        self._blocks: deque[_Block] = deque()  # the first is open, the others wait
        self._index = 0  # of the first
        self._flowing: Kind | None = None  # the kind of text that can be sent as it comes
        self._before = b""  # what stands before it
        self._called: dict[Any, _Block] = {}  # all calls, by what tells them apart
        self._refused = False
        self._choice: dict[str, Any] = {}  # the one that gave the reason
        self._usage: Any = None

    def feed(self, data: bytes) -> bytes:
        """Chunks in, events out."""
        sent = self._usual(data)
        return b"".join(map(self._look, self._events.feed(data))) if sent is None else sent

    def flush(self) -> bytes:
        return b""  # a stream that is complete ends with [DONE], any other with an error

    def _look(self, event: bytes) -> bytes:
        sent = self._usual(event)
        return self._event(event) if sent is None else sent

    def _usual(self, event: bytes) -> bytes | None:
        """What becomes of an event that differs from others in its text alone; None for any
        other."""
        usual = self._alike
        if usual is None or usual.text_of(event) is None:
            return None
        kind: Kind = "thinking" if usual.thinking else "text"
        return self._piece(kind, event[len(usual.before) : -len(usual.behind)])

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
        if thought := _thought(delta):
            sent += self._piece("thinking", orjson.dumps(thought))
        self._refused = self._refused or bool(delta.get("refusal"))
        if text := text_of(delta) or delta.get("refusal"):
            sent += self._piece("text", orjson.dumps(text))
        if delta.get("tool_calls"):
            calls = delta["tool_calls"]
            for call in calls if isinstance(calls, list) else []:
                if isinstance(call, dict):
                    self._call(call)
            sent += self._progress()
        elif self._tries and choice.get("finish_reason") is None and "delta" in choice:
            self._learn(event, chunk, delta)
        return sent

    def _learn(self, event: bytes, chunk: dict[str, Any], delta: dict[str, Any]) -> None:
        """See what the events to come have in common with this one, if it brought text alone."""
        said = [name for name, value in delta.items() if value and name != "role"]
        if len(said) != 1 or len(chunk["choices"]) != 1 or chunk.get("usage"):
            return
        if (said[0] == "content" or said[0] in _REASONING) and isinstance(delta[said[0]], str):
            self._tries -= 1
            self._alike = alike(event, chunk, said[0])

    # Blocks ---------------------------------------------------------------------------------------

    def _piece(self, kind: Kind, text: bytes) -> bytes:
        """A piece of text or of reasoning, which is JSON already."""
        if kind == self._flowing:
            return self._before + text + b"}}\n\n"
        if kind == "thinking" and not self._thinks:
            return b""
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(_Block(kind))
        self._blocks[-1].pieces.append(text)
        return self._progress()

    def _call(self, call: dict[str, Any]) -> None:
        """Add a piece of a tool call to its block."""
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        block = self._block_of(call, function)
        block.id = block.id or _text(call.get("id"))
        block.name = block.name or _text(function.get("name"))
        given = function.get("arguments")
        if given and not isinstance(given, str):
            given = orjson.dumps(given).decode()
        if given:
            block.arguments.append(given)
            block.pieces.append(orjson.dumps(given))

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
            self._called[key] = _Block("tool", key)
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
                sent += [before + piece + b"}}\n\n" for piece in block.pieces]
                block.pieces.clear()
            if not over and (len(self._blocks) == 1 or not block.opened or not block.ended()):
                break
            sent.append(_event("content_block_stop", {"index": self._index}))
            self._blocks.popleft()
            self._index += 1
        only = self._blocks[0].kind if len(self._blocks) == 1 else "tool"
        self._flowing = only if only != "tool" else None
        self._before = self._delta(only)
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
        message = _opening(self._id, self._model)
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = _usage(None)  # the end has the counts
        return _event("message_start", {"message": message}) + _PING

    def _end(self) -> bytes:
        sent = self._begin() + self._progress(over=True)
        called = bool(self._called)
        reason, stop = _stop(self._choice, self._stops, called=called, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        last = _event("message_delta", {"delta": delta, "usage": _usage(self._usage)})
        return sent + last + _event("message_stop", {})


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _opening(id: str, model: str) -> dict[str, Any]:
    return {"id": id, "type": "message", "role": "assistant", "model": model}


def _stop(
    choice: dict[str, Any], stops: tuple[str, ...], *, called: bool, refused: bool
) -> tuple[str, str | None]:
    """Why an answer ended: (stop_reason, stop_sequence). Which sequence it was, vLLM and SGLang
    tell."""
    reason = _REASONS.get(choice.get("finish_reason") or "")
    if reason:
        return reason, None
    if refused:
        return "refusal", None
    if called:  # some servers say "stop" behind calls
        return "tool_use", None
    stop = choice.get("stop_reason", choice.get("matched_stop"))
    return ("stop_sequence", stop) if stop in stops else ("end_turn", None)


def _usage(usage: Any) -> dict[str, Any]:
    """The counts; `input_tokens` are those that no cache had."""
    counted = usage if isinstance(usage, dict) else {}
    details = counted.get("prompt_tokens_details")
    read = _count(details, "cached_tokens")
    written = _count(counted, "cache_creation_input_tokens")
    return {
        "input_tokens": max(0, _count(counted, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": _count(counted, "completion_tokens"),
    }


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) else 0


def _thought(said: dict[str, Any]) -> str:
    """The reasoning of a message or of a delta."""
    found = (said[name] for name in _REASONING if isinstance(said.get(name), str))
    return next((text for text in found if text), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tool_use(call: Any, known: str) -> dict[str, Any]:
    """A tool call. Arguments that are not a JSON object are the client's to judge: it tells the
    model."""
    call = call if isinstance(call, dict) else {}
    function = call.get("function") or {}
    given = function.get("arguments")
    try:
        read = lenient(given.encode()) if isinstance(given, str) and given else given or {}
    except ValueError:
        read = given
    arguments = read if isinstance(read, dict) else {"invalid_arguments": given}
    return {
        "type": "tool_use",
        "id": _text(call.get("id")) or known,
        "name": _text(function.get("name")),
        "input": arguments,
    }
