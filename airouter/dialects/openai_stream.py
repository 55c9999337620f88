"""The event stream of a chat or text completion: fed with bytes, hands back whole events, and notes
what they say.

The bytes of an event are passed on as they came. Each event is looked at once, never written anew.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from airouter.dialects import sse
from airouter.dialects.alike import Alike, alike
from airouter.dialects.call_repair import StreamRepair
from airouter.dialects.openai_errors import error_in
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient
from airouter.domain.redaction import masked_json

_CONTENT_KEPT = 2000
_TRIES = 8  # to see what the events of a stream have in common
_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking"})
_CHUNK = re.compile(rb'\{\s*"')
_NAMED_ERROR = re.compile(rb"^event:[ ]*error[ ]*$", re.MULTILINE)
_NO_REASONS = frozenset({"", "null", "none"})


@dataclass(slots=True)
class StreamState:
    """What a stream has said so far.

    `finish_reasons` by choice index; `text` is the start of choice 0's answer.
    """

    started: bool = False  # content of any kind has come: text, reasoning, a tool call, sound
    done: bool = False  # [DONE] has come
    gap: bool = False  # an event that may have carried content could not be read
    events: int = 0
    said: int = 0  # events that brought content, or the end of a choice
    garbage: int = 0
    finish_reasons: dict[int, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    envelope: Mapping[str, Any] | None = None  # the first chunk, for what later ones repeat of it
    parts: list[str] = field(default_factory=list)
    kept: int = 0  # characters in `parts`
    whole: bool = True  # `parts` holds all of choice 0's text
    plain: bool = True  # nothing but text and reasoning has come
    thinking: bool = False  # the last thing said was reasoning, not answer
    choices: int = 0  # implied by the request
    seen: set[int] = field(default_factory=set)  # indices of choices of which something came

    @property
    def complete(self) -> bool:
        """Every choice has given its reason to finish; `[DONE]` is as good from a backend that
        gives no reasons at all."""
        reasons = self.finish_reasons
        if reasons:
            return len(reasons) >= self.choices and self.seen <= reasons.keys()
        return self.done and self.started and self.error is None

    @property
    def text(self) -> str:
        """The start of choice 0's answer, as far as it is remembered."""
        return "".join(self.parts)


Rewrite = Callable[[dict[str, Any]], bytes]


class SseReader:
    """Splits a byte stream at event boundaries.

    `feed()` returns the bytes that may be passed on: whole events only, so that a comment can be
    put between two of them. A usage chunk that the client did not ask for (`keep_usage=False`) is
    passed on without its usage, or dropped if it says nothing else; an unreadable event is dropped
    and counted; `[DONE]` is held back: the relay writes it when the answer is complete.

    Args:
        keep_text: characters of choice 0 to remember.
        choices: how many choices the request implies.
        rewrite: for a continuation: makes its events fit those already sent.
        stop_at_gap: hold back what follows an unreadable event that may have carried content,
            until `pass_gap()`.
        repair: of tool calls that arrive as text.
    """

    def __init__(
        self,
        *,
        keep_usage: bool,
        keep_text: int = _CONTENT_KEPT,
        choices: int = 0,
        rewrite: Rewrite | None = None,
        stop_at_gap: bool = False,
        repair: StreamRepair | None = None,
    ) -> None:
        self.state = StreamState(choices=choices)
        self._rewrite = rewrite
        self._keep_usage = keep_usage
        self._keep_text = keep_text
        self._stop_at_gap = stop_at_gap
        self._repair = repair
        self._tail = bytearray()  # the event that is not whole yet, or all that is held back
        self._alike: Alike | None = None  # most events
        self._tries = 0 if rewrite is not None else _TRIES
        self.more_text = False  # what was fed last brought more text, and nothing else

    def feed(self, data: bytes) -> bytes:
        """Bytes in, whole events out (b"" while none is whole).

        Raises:
            ValueError: an event longer than 16 MB.
        """
        tail, usual = self._tail, self._alike
        if (
            usual is not None
            and not tail
            and (text := usual.text_of(data))
            and (self._repair is None or usual.thinking or self._repair.passes(text))
        ):
            self._note_text(text, thinking=usual.thinking)
            self.more_text = True
            return data
        self.more_text = False
        if tail:
            # A long event is not looked through again for each of its pieces.
            goes_on = data and not sse.ends_in(tail, data)
            tail += data
            if self.held or goes_on:
                return self._bounded(b"")
            data = bytes(tail)
        # The usual case, and the one to be fast in: events none of which is to be dropped.
        kept: list[bytes] | None = None
        start, plain = 0, b"\r" not in data  # JSON escapes it, so nearly always
        while not self.held and (stop := sse.next_boundary(data, start, plain)) > 0:
            event = data[start:stop]
            passed = self._look(event)
            if kept is None and passed is not event:
                kept = [data[:start]]
            if kept is not None:
                kept.append(passed)
            start = stop
        tail[:] = data[start:]
        if kept is not None:
            return self._bounded(b"".join(kept))
        return self._bounded(data[:start] if tail else data)

    def _bounded(self, passed: bytes) -> bytes:
        if len(self._tail) > sse.MAX_EVENT:
            raise ValueError(sse.TOO_LONG)
        return passed

    @property
    def held(self) -> bool:
        """Whether what follows a gap is being held back."""
        return self._stop_at_gap and self.state.gap

    @property
    def mid_event(self) -> bool:
        """Whether a part of an event other than a comment has come."""
        return bool(self._tail) and not sse.is_comment(self._tail)

    def pass_gap(self) -> bytes:
        """Go on behind a gap: the whole events that were held back."""
        self._stop_at_gap = False
        return self.feed(b"")

    def flush(self) -> bytes:
        """The last event of a stream that ended without a last blank line, if it is readable."""
        if self.held:
            return b""
        rest = bytes(self._tail)
        self._tail.clear()
        if not rest.strip():
            return b""
        event = rest.rstrip(b"\r\n") + b"\n\n"
        return self._look(event)

    def _look(self, event: bytes) -> bytes:
        """Note what an event says; what may be passed on of it: the event itself, or b""."""
        payload = sse.payload_of(event)
        if payload is None:
            return event if event.strip() else b""  # a comment passes
        state = self.state
        if payload == b"[DONE]":
            state.done = True
            return self._settled()
        try:
            chunk = lenient(payload, EVENT_ELEMENTS) if payload else None
        except ValueError:
            chunk = None
        error = _error_in(chunk, payload, event)
        if error is not None:
            state.events += 1
            state.error = masked_json(error)
            return b""
        if not isinstance(chunk, dict):
            if payload.strip(b"\"'").upper() == b"[DONE]":  # written by another hand
                state.done = True
                return self._settled()
            state.garbage += 1
            # What does not even begin like a chunk was none, so nothing is missing.
            state.gap = state.gap or (bool(_CHUNK.match(payload)) and not state.complete)
            self._alike = None  # what follows may have to be held back
            return self.release() if state.gap else b""
        state.events += 1
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            state.usage = usage
        choices = chunk.get("choices")
        if not choices:
            if self._keep_usage or usage is None:
                return event
            return self._without_usage(chunk)
        if state.envelope is None:
            state.envelope = chunk
            state.model, state.id = chunk.get("model"), chunk.get("id")
        if self._rewrite is not None:
            event = self._rewrite(chunk)
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._note(choice)
            if self._tries and not isinstance(usage, dict) and len(choices) == 1:
                self._learn(event, chunk, choices[0])
        if self._repair is not None:
            event = self._repair.event(event, chunk)
            self._note_calls()
        return event

    def _settled(self) -> bytes:
        """What is held of the text because it may be a tool call, as the answer is complete."""
        if self._repair is None or self.state.error is not None:
            return b""
        passed = self._repair.end()
        self._note_calls()
        return passed

    def _note_calls(self) -> None:
        if self._repair is not None and self._repair.count:
            self.state.finish_reasons[0], self.state.plain = "tool_calls", False

    def release(self) -> bytes:
        """What is held of the text, unchanged: the answer is not complete."""
        return b"" if self._repair is None else self._repair.stop()

    def _learn(self, event: bytes, chunk: dict[str, Any], choice: Any) -> None:
        """See what the events to come have in common with this one, if it brought text alone."""
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or choice.get("finish_reason") is not None:
            return
        said = [name for name, value in delta.items() if value and name != "role"]
        if len(said) != 1 or index_of(choice) != 0 or self.state.gap:
            return
        field = said[0]
        if (field == "content" or field in _REASONING) and isinstance(delta[field], str):
            self._tries -= 1
            self._alike = alike(event, chunk, field)

    def _note_text(self, text: str, *, thinking: bool) -> None:
        """As `_note()` does for an event that is like those before it."""
        state = self.state
        state.events += 1
        state.said += 1
        state.thinking = thinking
        if not thinking:
            self._remember(text)

    def _without_usage(self, chunk: dict[str, Any]) -> bytes:
        """The usage chunk, which only the router asked for: what else it says is the client's."""
        known = self.state.envelope or {}
        others = chunk.keys() - {"usage", "choices"}
        if self._rewrite is not None or not any(
            chunk[name] is not None and chunk[name] != known.get(name) for name in others
        ):
            return b""
        rest = {name: value for name, value in chunk.items() if name != "usage"}
        return b"data: " + orjson.dumps(rest) + b"\n\n"

    def _note(self, choice: dict[str, Any]) -> None:
        state = self.state
        index = index_of(choice)
        state.seen.add(index)
        said = False
        reason = choice.get("finish_reason")
        if reason is not None and is_reason(reason):
            said = index not in state.finish_reasons
            state.finish_reasons[index] = reason
        delta = choice.get("delta")
        text = None
        if delta is None:
            text = choice.get("text")  # /v1/completions
            # A whole message in a stream's event is the client's to read, and content as well.
            if text is None and isinstance(choice.get("message"), dict):
                delta = choice["message"]
                state.plain = False
        if isinstance(delta, dict):
            for name, value in delta.items():
                if not value or name == "role":
                    continue
                said = True
                if name == "content":
                    text = value
                elif name in _REASONING:
                    state.thinking = True
                else:
                    state.plain = False
        if text:
            said, state.thinking = True, False
            if not isinstance(text, str):
                state.plain = False
            elif index == 0:
                self._remember(text)
        if said:
            state.started = True
            state.said += 1

    def _remember(self, text: str) -> None:
        state = self.state
        if state.kept < self._keep_text:
            state.parts.append(text)
            state.kept += len(text)
        else:
            state.whole = False


def index_of(choice: dict[str, Any]) -> int:
    """A choice's index; some servers write it as a text, others leave it out."""
    index = choice.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < 9:
        return int(index)
    return index if isinstance(index, int) else 0


def is_reason(value: Any) -> bool:
    """Whether a `finish_reason` is one; some servers write its absence as a text."""
    return isinstance(value, str) and value.strip().lower() not in _NO_REASONS


def _error_in(chunk: Any, payload: bytes, event: bytes) -> dict[str, Any] | None:
    """The error that an event reports by its content or by its name; None when it is none."""
    if not isinstance(chunk, dict) or not chunk.get("choices") or chunk.get("error"):
        error = error_in(chunk)
        if error is not None:
            return error
    if b"event:" not in event or not _NAMED_ERROR.search(sse.lines_of(event)):
        return None
    return chunk if isinstance(chunk, dict) else {"message": payload.decode("utf-8", "replace")}


def error_event(body: dict[str, Any]) -> bytes:
    """An error as the last event of a stream, in the form for which OpenAI's clients raise an
    exception."""
    return b"data: " + orjson.dumps(body) + b"\n\n"
