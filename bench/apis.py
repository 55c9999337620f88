"""The APIs through which the same faults are sent: how each is asked, and its answers in the shape
of a chat completion, by which they are judged. An API's own grammar is checked on the way."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.client import CHAT, Answer
from bench.prompts import body as chat_body

Json = dict[str, Any]
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
        found: list[Any] = []
        grammar = _Grammar()
        for event in self.body.replace(b"\r\n", b"\n").split(b"\n\n"):
            lines = [line for line in event.split(b"\n") if line and not line.startswith(b":")]
            if not lines:
                continue
            data = lines[-1].removeprefix(b"data: ")
            said = Answer(body=data).json()
            named = len(lines) == 2 and isinstance(said, dict)
            if not named or lines[0] != b"event: " + str(said.get("type")).encode():
                found.append(BROKEN)
                continue
            found.append(_chunk(said) if grammar.allows(said) else BROKEN)
        return found

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


APIS: Mapping[str, Api] = {
    "chat": Api(CHAT),
    "messages": Api("/v1/messages", MessagesAnswer, codes=False),
}
OPTION: Mapping[str, Any] = dict(
    choices=tuple(APIS), default="chat", help="the API through which it asks (default: chat)"
)


def of(args: argparse.Namespace) -> Api:
    """The API that was chosen."""
    return APIS[getattr(args, "api", "chat")]
