"""Server-sent events of a chat or text completion: fed with bytes, hands back whole events, and notes what they say.

The bytes of an event are passed on as they came. Each event is looked at once, never written anew.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

_MAX_EVENT = 16 * 1024 * 1024
_CONTENT_KEPT = 2000
_BOUNDARIES = (b"\n\n", b"\n\r\n", b"\r\r")  # an empty line, by whatever line ends the server writes


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
    model: str | None = None
    text: str = ""
    choices: int = 0  # asked for, or seen if more

    @property
    def complete(self) -> bool:
        """Every choice that appeared has given its reason to finish."""
        return bool(self.finish_reasons) and len(self.finish_reasons) >= self.choices


class SseReader:
    """Splits a byte stream at event boundaries.

    `feed()` returns the bytes that may be passed on: whole events only, so that a comment can be put between two of them.
    A usage chunk is dropped again if the client did not ask for it (`keep_usage=False`); an unreadable event is dropped
    and counted; `[DONE]` is held back: the relay writes it when the answer is complete.
    """

    def __init__(self, *, keep_usage: bool, keep_text: int = _CONTENT_KEPT, choices: int = 0) -> None:
        self.state = StreamState(choices=choices)
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
            if self._look(event):
                if kept is not None:
                    kept.append(event)
            elif kept is None:
                kept = [data[:start]]
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
        return event if self._look(event) else b""

    def _look(self, event: bytes) -> bool:
        """Note what an event says; False when it must not be passed on."""
        payload = _payload(event)
        if payload is None:
            return event.strip() != b""  # a comment passes
        if payload == b"[DONE]":
            self.state.done = True
            return False
        state = self.state
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            state.garbage += 1
            return False
        if not isinstance(chunk, dict):
            state.garbage += 1
            return False
        state.events += 1
        if chunk.get("error"):
            error = chunk["error"]
            state.error = error if isinstance(error, dict) else {"message": str(error)}
            return False
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            state.usage = usage
        choices = chunk.get("choices")
        if not choices:
            # The usage chunk: choices is empty. Ours to drop when only we asked for it.
            return self._keep_usage or usage is None
        if state.model is None:
            state.model = chunk.get("model")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._note(choice)
        return True

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
            if not state.started and (
                text or delta.get("tool_calls") or delta.get("reasoning_content") or delta.get("reasoning") or delta.get("refusal")
            ):
                state.started = True
        else:
            return
        if text:
            state.started = True
            if index == 0 and len(state.text) < self._keep_text:
                state.text += text if isinstance(text, str) else ""


def _payload(event: bytes) -> bytes | None:
    """The data of an event (several data lines joined by newlines), or None for a comment or an empty event."""
    if event.startswith(b"data:") and event.count(b"\n") <= 2 and b"\r" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if line.startswith(b"data:")]
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
