"""A complete dialect that resembles no real one: its own request, answer, stream (JSON lines) and
error. What a new one would be in `airouter/dialects/`."""

from __future__ import annotations

from typing import Any

import orjson

from airouter.dialects import sse
from airouter.domain.dialect import Translator
from airouter.domain.errors import BadRequest
from airouter.domain.types import Endpoint


class Toy:
    """Implements `ClientDialect` and `BackendDialect`.

    Request: `{"engine": …, "say": [["user", "Hi"]], "live": true}`; answer: `{"said": …, "over":
    …}`; stream: lines of `{"piece": …}`, then `{"over": …}`; error: `{"oops": …}`.
    """

    comment = b"\n"
    stream_type = "application/x-ndjson"

    # As a client's

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(payload.get("say"), list):
            raise BadRequest("'say' must be a list of [role, text].", param="say")
        return {
            "model": payload.get("engine"),
            "stream": payload.get("live", False),
            "messages": [{"role": role, "content": text} for role, text in payload["say"]],
        }

    def writer(self, *, stream: bool) -> Translator:
        return _EventsOut() if stream else _AnswerOut()

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"oops": body["error"]["message"], "code": body["error"]["code"]}

    # As a backend's

    def request(self, _endpoint: Endpoint, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        say = [[m["role"], m["content"]] for m in body["messages"]]
        return "/talk", {"engine": body["model"], "say": say, "live": body.get("stream", False)}

    def reader(self, *, stream: bool) -> Translator:
        return _EventsIn() if stream else _AnswerIn()


class _Whole:
    """Translates what has come in one piece, at its end."""

    def __init__(self) -> None:
        self._all = b""

    def feed(self, data: bytes) -> bytes:
        self._all += data
        return b""

    def flush(self) -> bytes:
        return orjson.dumps(self.translated(orjson.loads(self._all)))

    def translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class _AnswerOut(_Whole):
    def translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        choice = payload["choices"][0]
        return {"said": choice["message"]["content"], "over": choice["finish_reason"]}


class _AnswerIn(_Whole):
    def translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        if "oops" in payload:
            return {"error": {"message": payload["oops"], "code": "toy_error"}}
        message = {"role": "assistant", "content": payload["said"]}
        choice = {"index": 0, "message": message, "finish_reason": payload["over"]}
        return {"object": "chat.completion", "choices": [choice]}


class _EventsOut:
    """OpenAI's events as lines."""

    def __init__(self) -> None:
        self._events = sse.Splitter()

    def feed(self, data: bytes) -> bytes:
        return b"".join(map(self._line, self._events.feed(data)))

    def flush(self) -> bytes:
        return b""

    def _line(self, event: bytes) -> bytes:
        payload = sse.payload_of(event)
        if payload in (None, b"[DONE]"):
            return b""
        chunk = orjson.loads(payload or b"")
        if "error" in chunk:
            return _line({"oops": chunk["error"]["message"]})
        choice = chunk["choices"][0]
        if choice.get("finish_reason"):
            return _line({"over": choice["finish_reason"]})
        text = choice["delta"].get("content")
        return _line({"piece": text}) if text else b""


class _EventsIn:
    """Lines as OpenAI's events."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        *lines, self._tail = (self._tail + data).split(b"\n")
        return b"".join(self._event(line) for line in lines if line.strip())

    def flush(self) -> bytes:
        # A last line without its end is whole all the same: an error comes so.
        return self._event(self._tail) if self._tail.strip() else b""

    def _event(self, line: bytes) -> bytes:
        told = orjson.loads(line)
        if "oops" in told:
            return b"data: " + orjson.dumps({"error": {"message": told["oops"]}}) + b"\n\n"
        delta = {"content": told["piece"]} if "piece" in told else {}
        choice = {"index": 0, "delta": delta, "finish_reason": told.get("over")}
        chunk = {"object": "chat.completion.chunk", "choices": [choice]}
        end = b"data: [DONE]\n\n" if "over" in told else b""
        return b"data: " + orjson.dumps(chunk) + b"\n\n" + end


def _line(payload: dict[str, Any]) -> bytes:
    return orjson.dumps(payload) + b"\n"
