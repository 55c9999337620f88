"""Server-sent events of a chat or text completion: fed with bytes, hands back whole events, and notes what they say.

The bytes of an event are passed on as they came. Each event is looked at once, never written anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

_MAX_EVENT = 16 * 1024 * 1024
_CONTENT_KEPT = 2000
_BOUNDARIES = (
    b"\n\n",
    b"\n\r\n",
    b"\r\r",
)  # an empty line, by whatever line ends the server writes


@dataclass(slots=True)
class StreamState:
    """What a stream has said so far. `finish_reasons` by choice index; `text` is the start of choice 0's answer."""

    started: bool = False  # content (text, reasoning or a tool call) has come
    done: bool = False  # [DONE] has come
    events: int = 0
    garbage: int = 0
    finish_reasons: dict[int, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    parts: list[str] = field(default_factory=list)
    kept: int = 0  # characters in `parts`
    whole: bool = True  # `parts` holds all of choice 0's text
    thinking: bool = False  # the last thing said was reasoning, not answer
    choices: int = 0  # asked for, or seen if more

    @property
    def complete(self) -> bool:
        """Every choice that appeared has given its reason to finish."""
        return bool(self.finish_reasons) and len(self.finish_reasons) >= self.choices

    @property
    def text(self) -> str:
        """The start of choice 0's answer, as far as it is remembered."""
        return "".join(self.parts)


Rewrite = Callable[[dict[str, Any]], bytes]


class SseReader:
    """Splits a byte stream at event boundaries.

    `feed()` returns the bytes that may be passed on: whole events only, so that a comment can be put between two of them.
    A usage chunk is dropped again if the client did not ask for it (`keep_usage=False`); an unreadable event is dropped
    and counted; `[DONE]` is held back: the relay writes it when the answer is complete.
    """

    def __init__(
        self,
        *,
        keep_usage: bool,
        keep_text: int = _CONTENT_KEPT,
        choices: int = 0,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.state = StreamState(choices=choices)
        self._rewrite = rewrite  # for a continuation: its events are made to fit those already sent
        self._keep_usage = keep_usage
        self._keep_text = keep_text  # characters of choice 0 to remember
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        """Bytes in, whole events out (b"" while none is whole).

        Raises:
            ValueError: an event longer than 16 MB.
        """
        if self._tail:
            data = self._tail + data
        # The usual case, and the one to be fast in: one event, or several, none of which is to be dropped.
        kept: list[bytes] | None = None
        start = 0
        while (stop := _next_boundary(data, start)) > 0:
            event = data[start:stop]
            passed = self._look(event)
            if kept is None and passed is not event:
                kept = [data[:start]]
            if kept is not None:
                kept.append(passed)
            start = stop
        self._tail = data[start:]
        if len(self._tail) > _MAX_EVENT:
            raise ValueError("an event of more than 16 MB")
        if kept is not None:
            return b"".join(kept)
        return data[:start] if self._tail else data

    def flush(self) -> bytes:
        """What is left when the stream ends without a last blank line: one more event if it is readable, else nothing."""
        rest, self._tail = self._tail, b""
        if not rest.strip():
            return b""
        event = rest.rstrip(b"\r\n") + b"\n\n"
        return self._look(event)

    def _look(self, event: bytes) -> bytes:
        """Note what an event says; what may be passed on of it: the event itself, or b""."""
        payload = _payload(event)
        if payload is None:
            return event if event.strip() else b""  # a comment passes
        if payload == b"[DONE]":
            self.state.done = True
            return b""
        state = self.state
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            state.garbage += 1
            return b""
        if not isinstance(chunk, dict):
            state.garbage += 1
            return b""
        state.events += 1
        if chunk.get("error"):
            error = chunk["error"]
            state.error = error if isinstance(error, dict) else {"message": str(error)}
            return b""
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            state.usage = usage
        choices = chunk.get("choices")
        if not choices:
            # The usage chunk: choices is empty. Ours to drop when only we asked for it.
            return event if self._keep_usage or usage is None else b""
        if state.model is None:
            state.model, state.id = chunk.get("model"), chunk.get("id")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._note(choice)
        return event if self._rewrite is None else self._rewrite(chunk)

    def _note(self, choice: dict[str, Any]) -> None:
        state = self.state
        index = choice.get("index")
        if not isinstance(index, int):
            index = 0
        if index >= state.choices:
            state.choices = index + 1
        reason = choice.get("finish_reason")
        if reason:
            state.finish_reasons[index] = reason
            state.started = True
        delta = choice.get("delta")
        if delta is None:
            text = choice.get("text")  # /v1/completions
        elif isinstance(delta, dict):
            text = delta.get("content")
            if not text:
                thought = delta.get("reasoning_content") or delta.get("reasoning")
                state.thinking = state.thinking or bool(thought)
                if thought or delta.get("tool_calls") or delta.get("refusal"):
                    state.started = True
        else:
            return
        if text:
            state.started, state.thinking = True, False
            if index == 0 and isinstance(text, str):
                if state.kept < self._keep_text:
                    state.parts.append(text)
                    state.kept += len(text)
                else:
                    state.whole = False


def _payload(event: bytes) -> bytes | None:
    """The data of an event (several data lines joined by newlines), or None for a comment or an empty event."""
    if event.startswith(b"data:") and event.count(b"\n") <= 2 and b"\r" not in event:
        return event[5:].strip()
    lines = [
        line[5:].strip()
        for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


def _next_boundary(data: bytes, start: int) -> int:
    """Index just behind the first event boundary at or after `start`, -1 if there is none."""
    if b"\r" not in data:  # JSON escapes it, so nearly always
        end = data.find(b"\n\n", start)
        return end + 2 if end >= 0 else -1
    found = ((data.find(mark, start), len(mark)) for mark in _BOUNDARIES)
    return min((at + length for at, length in found if at >= 0), default=-1)


def error_event(body: dict[str, Any]) -> bytes:
    """An error as the last event of a stream, in the form OpenAI's clients raise an exception for."""
    return b"data: " + orjson.dumps(body) + b"\n\n"
