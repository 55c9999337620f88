"""Turns tool calls that arrive as text into tool calls, in whole answers and in streams.

Of a stream only that is held back which may be a call, and passed on unchanged when it turns out
to be none. Everything else passes as it comes.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from airouter.dialects import carried
from airouter.dialects.call_watch import Watch
from airouter.dialects.text_calls import Tools, WrittenCall, tools_of

_TEXTS = (None, {"type": "text"})
_CUT = ("length", "content_filter")  # finish_reasons of answers whose last call may not be whole


class Repair:
    """What may be called, by one request.

    Args:
        bare: whether an answer that consists of JSON alone may be a call.
    """

    __slots__ = ("bare", "tools")

    def __init__(self, tools: Tools, *, bare: bool) -> None:
        self.tools, self.bare = tools, bare


def repair_for(payload: Mapping[str, Any]) -> Repair | None:
    """None for a request that asks for no calls, or for several choices."""
    if not payload.get("tools") or payload.get("n") not in (None, 1):
        return None
    tools = tools_of(payload)
    return Repair(tools, bare=payload.get("response_format") in _TEXTS) if tools else None


def repaired(payload: dict[str, Any], repair: Repair) -> tuple[dict[str, Any], int] | None:
    """A whole answer with calls instead of text, and how many; None where it has no such text."""
    choice = _only(payload.get("choices"))
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(text, str) or _calls_already(message):
        return None
    if carried.FIELD in message:  # only the original has all of it
        return None
    watch = Watch(repair.tools, bare=repair.bare)
    watch.feed(text)
    made = _made(watch.end(whole=choice.get("finish_reason") in _CUT))
    if not made:
        return None
    said = watch.text[: watch.mark].rstrip() or None
    message = {**message, "content": said, "tool_calls": made}
    choice = {**choice, "message": message, "finish_reason": "tool_calls"}
    answer = {**payload, "choices": [choice]}
    answer.pop(carried.FIELD, None)  # the original has the text still
    return answer, len(made)


class StreamRepair:
    """One stream, event by event. `count`: the calls that were repaired."""

    def __init__(self, repair: Repair) -> None:
        self.count = 0
        self._watch = Watch(repair.tools, bare=repair.bare)
        self._held: list[tuple[bytes, dict[str, Any], int]] = []  # with the length of its text
        self._off = False

    def passes(self, text: str) -> bool:
        """Whether an event with this text and nothing else need not be looked at; cheap."""
        return self._off or self._watch.passes(text)

    def event(self, event: bytes, chunk: dict[str, Any]) -> bytes:
        """What may be passed on after the next event.

        Args:
            chunk: the event, parsed.
        """
        if self._off:
            return event
        choice = _only(chunk.get("choices"))
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if not isinstance(delta, dict) or _calls_already(delta) or not _is_text(text):
            return self.stop() + event  # it needs no repair, or cannot be
        if text:
            self._watch.feed(text)
        if not self._held and not self._watch.holds:
            return event
        self._held.append((event, chunk, len(text or "")))
        if choice.get("finish_reason"):
            return self.end(choice["finish_reason"])
        return self._settled()

    def end(self, reason: str = "stop") -> bytes:
        """What is still held, when the answer is complete."""
        watch = self._watch
        made = _made(watch.end(whole=reason in _CUT)) if self._held else []
        if not made:
            return self.stop()
        self.count += len(made)
        return self._calling(made, watch.text[: watch.mark].rstrip())

    def stop(self) -> bytes:
        """What is held, unchanged; from now on everything passes."""
        self._off = True
        return self._released(len(self._held))

    def _released(self, count: int) -> bytes:
        data = b"".join(event for event, _, _ in self._held[:count])
        del self._held[:count]
        return data

    def _settled(self) -> bytes:
        """The events before the one with the mark, or all of them when there is none any more."""
        watch = self._watch
        if not watch.holds:
            return self._released(len(self._held))
        count = 0
        for _, _, length in self._held:
            if length > watch.mark:
                break
            watch.drop(length)
            count += 1
        return self._released(count) if count else b""

    def _calling(self, made: list[dict[str, Any]], said: str) -> bytes:
        """The held events, with calls instead of their text. Behind them everything passes."""
        self._off = True
        held, self._held = self._held, []
        _, first, _ = held[0]
        shared = {name: value for name, value in first.items() if name not in ("choices", "usage")}
        delta = {k: v for k, v in first["choices"][0]["delta"].items() if k == "role"}
        if said:
            delta["content"] = said
        delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(made)]
        events = [_event(shared, {"index": 0, "delta": delta, "finish_reason": None})]
        for event, chunk, length in held:
            choice = chunk["choices"][0]
            if choice.get("finish_reason"):
                rest = {k: v for k, v in choice["delta"].items() if k != "content"}
                ended = {**choice, "delta": rest, "finish_reason": "tool_calls"}
                events.append(_event({k: v for k, v in chunk.items() if k != "choices"}, ended))
            elif not length:
                events.append(event)
        if not held[-1][1]["choices"][0].get("finish_reason"):
            events.append(_event(shared, {"index": 0, "delta": {}, "finish_reason": "tool_calls"}))
        return b"".join(events)


def _only(choices: Any) -> dict[str, Any]:
    """The only choice; {} where there are several."""
    found = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return found if isinstance(found, dict) else {}


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _calls_already(message: Mapping[str, Any]) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _event(shared: dict[str, Any], choice: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps({**shared, "choices": [choice]}) + b"\n\n"


def _made(calls: list[WrittenCall]) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's form; [] if one of them cannot be written as JSON."""
    made = []
    for call in calls:
        try:
            arguments = json.dumps(call.arguments, ensure_ascii=False, allow_nan=False)
        except ValueError:
            return []
        # Pairs of surrogates that were written as two escapes.
        arguments = arguments.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        # Mistral's templates take an id of nine letters and digits only.
        id = uuid.uuid4().hex[:9]
        function = {"name": call.name, "arguments": arguments}
        made.append({"id": id, "type": "function", "function": function})
    return made
