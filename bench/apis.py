"""The APIs through which the same faults are sent: how each is asked, and its answers in the shape
of a chat completion, by which they are judged. An API's own grammar is checked on the way."""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.client import CHAT, Answer
from bench.prompts import body as chat_body

Json = dict[str, Any]
RESPONSES = "/v1/responses"
BROKEN = b"an event out of order"  # which the judge takes for what it is


@dataclass(frozen=True, slots=True)
class Api:
    """`codes`: errors have OpenAI's codes."""

    path: str
    answer: type[Answer] = Answer
    codes: bool = True

    def body(self, text: str, model: str, **more: Any) -> Json:
        """A request of one user message."""
        if self.path == CHAT:
            return chat_body(text, model, **more)
        if self.path == RESPONSES:
            return {"model": model, "input": text, **more}
        return {"max_tokens": 1000, **chat_body(text, model, **more)}

    def read(self, answer: Answer) -> Answer:
        """The answer, as this API's clients read it."""
        if self.answer is Answer:
            return answer
        return self.answer(**{one.name: getattr(answer, one.name) for one in fields(answer)})


class MessagesAnswer(Answer):
    """Of Anthropic's Messages API."""

    def json(self) -> Any:
        # Not super(): dataclasses with slots make the class anew.
        said = Answer.json(self)
        if not isinstance(said, dict):
            return said
        if said.get("type") == "message":
            message = {"role": said["role"], "content": _text(said.get("content"))}
            return {"choices": [{"message": message, "finish_reason": said.get("stop_reason")}]}
        return _error(said)

    def events(self) -> list[Any]:
        grammar = _Grammar()
        return [
            BROKEN if said is None or not grammar.allows(said) else _chunk(said)
            for said in _named(self.body)
        ]

    @property
    def done(self) -> bool:
        return b"event: message_stop" in self.body


class _Grammar:
    """The order of a message's events. Mutable state: what has come."""

    def __init__(self) -> None:
        self._before = ""
        self._open: int | None = None
        self._next = 0

    def allows(self, said: Mapping[str, Any]) -> bool:
        """Whether an event may come now."""
        kind, index, before = said["type"], said.get("index"), self._before
        if kind in ("ping", "error"):
            return before != "message_stop"
        self._before = kind
        if kind == "message_start":
            return before == ""
        if kind == "content_block_start":
            allowed = before != "" and self._open is None and index == self._next
            self._open, self._next = index, self._next + 1
            return allowed
        if kind == "content_block_delta":
            return index is not None and index == self._open
        if kind == "content_block_stop":
            allowed, self._open = index == self._open, None
            return allowed
        if kind == "message_delta":
            return before in ("message_start", "content_block_stop")
        return kind == "message_stop" and before == "message_delta"


def _chunk(said: Json) -> Any:
    """An event as a chunk, or "[DONE]"."""
    kind, delta = said["type"], said.get("delta") or {}
    if kind == "message_stop":
        return "[DONE]"
    if kind == "error":
        return _error(said)
    if kind == "content_block_delta":
        return {"choices": [{"delta": {"content": delta.get("text")}}]}
    if kind == "message_delta":
        return {"choices": [{"delta": {}, "finish_reason": delta.get("stop_reason")}]}
    return {"choices": []}


def _error(said: Json) -> Json:
    """An error in OpenAI's shape; as it is, if it is not in Anthropic's."""
    error = said.get("error")
    if said.get("type") != "error" or not isinstance(error, dict) or "request_id" not in said:
        return {"not an error": said}
    if set(error) != {"type", "message"}:
        return {"not an error": said}
    return {"error": {**error, "param": None, "code": None}}


def _text(content: Any) -> str:
    blocks = content if isinstance(content, list) else []
    return "".join(block.get("text", "") for block in blocks if block.get("type") == "text")


def _named(body: bytes) -> Iterator[Json | None]:
    """What the events of a stream say; None for one that is not named as its data says."""
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line for line in event.split(b"\n") if line and not line.startswith(b":")]
        if not lines:
            continue
        said = Answer(body=lines[-1].removeprefix(b"data: ")).json()
        named = len(lines) == 2 and isinstance(said, dict)
        good = named and lines[0] == b"event: " + str(said.get("type")).encode()
        yield said if good else None


class ResponsesAnswer(Answer):
    """Of OpenAI's Responses API."""

    def json(self) -> Any:
        said = Answer.json(self)
        if not isinstance(said, dict) or said.get("object") != "response":
            return said
        if said.get("status") == "failed":
            return _failed(said)
        items = said["output"] if isinstance(said.get("output"), list) else []
        parts = [part for item in items for part in item.get("content") or ()]
        text = "".join(part.get("text", "") for part in parts if part["type"] == "output_text")
        message = {"role": "assistant", "content": text}
        return {"choices": [{"message": message, "finish_reason": _reason(said)}]}

    def events(self) -> list[Any]:
        found: list[Any] = []
        order = _Order()
        for said in _named(self.body):
            if said is None or not order.allows(said):
                found.append(BROKEN)
                continue
            kind, response = said["type"], said.get("response")
            if kind == "response.output_text.delta":
                found.append({"choices": [{"delta": {"content": said.get("delta")}}]})
            elif kind == "response.failed":
                found.append(_failed(response))
            elif kind in _ENDS:
                last: Json = {"delta": {}, "finish_reason": _reason(response)}
                found += [{"choices": [last]}, "[DONE]"]
            else:
                found.append({"choices": []})
        return found

    @property
    def done(self) -> bool:
        return any(b"event: " + kind.encode() in self.body for kind in _ENDS[:2])


_ENDS = ("response.completed", "response.incomplete", "response.failed")
_WITHIN = {  # what may come after an event of an item
    "response.output_item.added": ("response.content_part.added",),
    "response.content_part.added": ("response.output_text.delta", "response.output_text.done"),
    "response.output_text.delta": ("response.output_text.delta", "response.output_text.done"),
    "response.output_text.done": ("response.content_part.done",),
    "response.content_part.done": ("response.output_item.done",),
}
_BETWEEN = ("response.output_item.added", *_ENDS)  # what may come elsewhere


class _Order:
    """The order of a response's events, of messages alone. Mutable state: what has come."""

    def __init__(self) -> None:
        self._before = ""
        self._number = 0  # of the next event
        self._text = ""  # of the item
        self._texts: list[str] = []  # of those that have ended

    def allows(self, said: Mapping[str, Any]) -> bool:
        """Whether an event may come now."""
        kind, before, number = said["type"], self._before, self._number
        self._before, self._number = kind, number + 1
        if said.get("sequence_number") != number or before in _ENDS:
            return False
        if number < 2:
            return bool(kind == ("response.created", "response.in_progress")[number])
        if kind == "response.failed":
            return True
        if kind not in _WITHIN.get(before, _BETWEEN):
            return False
        if kind in _ENDS:
            response = said.get("response")
            whole = ResponsesAnswer(body=json.dumps(response).encode())
            return _status(response) == kind and whole.text == "".join(self._texts)
        if said.get("output_index") != len(self._texts):
            return False
        if kind == "response.output_item.added":
            self._text = ""
        elif kind == "response.output_text.delta":
            self._text += str(said.get("delta"))
        elif kind == "response.output_text.done":
            return bool(said.get("text") == self._text)
        elif kind == "response.output_item.done":
            self._texts.append(self._text)
        return True


def _status(response: Any) -> str:
    return f"response.{response.get('status')}" if isinstance(response, dict) else ""


def _reason(response: Any) -> str | None:
    """Why a response has ended, as chat completions say it."""
    return {_ENDS[0]: "stop", _ENDS[1]: "length"}.get(_status(response))


def _failed(response: Any) -> Json:
    """The error of a response that failed, in the shape of all others."""
    error = response.get("error") if isinstance(response, dict) else None
    if _status(response) != _ENDS[2] or not isinstance(error, dict) or not error.get("code"):
        return {"not an error": response}
    return {"error": {"type": None, "param": None, **error}}


APIS: Mapping[str, Api] = {
    "chat": Api(CHAT),
    "messages": Api("/v1/messages", MessagesAnswer, codes=False),
    "responses": Api(RESPONSES, ResponsesAnswer),
}
OPTION: Mapping[str, Any] = dict(
    choices=tuple(APIS), default="chat", help="the API through which it asks (default: chat)"
)


def of(args: argparse.Namespace) -> Api:
    """The API that was chosen."""
    return APIS[getattr(args, "api", "chat")]
