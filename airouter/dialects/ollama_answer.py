"""Answers in OpenAI's format as Ollama's: one JSON object, or one a line."""

from datetime import UTC, datetime
from typing import Any

import orjson

from airouter.dialects import sse
from airouter.dialects.alike import Alike, alike
from airouter.dialects.openai_errors import error_in, reason_of
from airouter.dialects.openai_forms import Assembler
from airouter.dialects.openai_request import text_of
from airouter.dialects.openai_stream import index_of, is_reason
from airouter.dialects.wire_json import EVENT_ELEMENTS, lenient
from airouter.domain.clock import Clock
from airouter.domain.errors import UpstreamBroken

_REASONING = ("reasoning_content", "reasoning", "thinking")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # RFC 3339
_TRIES = 3  # events from which to learn what those to come have in common
# What stands around a piece of text, and of reasoning, in a line.
_CHAT = (
    (b',"message":{"role":"assistant","content":', b'},"done":false}\n'),
    (b',"message":{"role":"assistant","content":"","thinking":', b'},"done":false}\n'),
)
_GENERATE = (
    (b',"response":', b',"done":false}\n'),
    (b',"response":"","thinking":', b',"done":false}\n'),
)


def opening(model: str, at: float) -> dict[str, Any]:
    """How each answer and each line begins.

    Args:
        at: the time, in seconds since 1970.
    """
    return {"model": model, "created_at": f"{datetime.fromtimestamp(at, UTC):{_TIME}}"}


class _Collected:
    """An answer that comes whole."""

    def __init__(self, clock: Clock, began: float) -> None:
        self._clock = clock
        self._began = began
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return b""

    def flush(self) -> bytes:
        return orjson.dumps(self._translated(lenient(b"".join(self._parts))))

    def _translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _since(self, moment: float) -> int:
        return _nanoseconds(self._clock.monotonic() - moment)


class Whole(_Collected):
    """A chat or text completion.

    Args:
        began: the clock's monotonic time of the request.
        chat: the form of /api/chat; else that of /api/generate.
        thinks: whether reasoning is shown.
    """

    def __init__(self, clock: Clock, began: float, *, chat: bool, thinks: bool) -> None:
        super().__init__(clock, began)
        self._chat = chat
        self._thinks = thinks

    def _translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Raises:
        UpstreamBroken: it calls a tool with arguments that are none.
        """
        choice = payload["choices"][0]
        said = choice.get("message") or {"content": choice.get("text")}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text_of(said) or said.get("refusal") or "",
        }
        if self._thinks and (thought := _thought(said)):
            message["thinking"] = thought
        if said.get("tool_calls"):
            message["tool_calls"] = _tool_calls(said["tool_calls"])
        answer = opening(payload.get("model") or "", self._clock.time())
        if self._chat:
            answer["message"] = message
        else:
            answer["response"] = message["content"]
            answer |= {name: message[name] for name in ("thinking",) if name in message}
        if logprobs := _logprobs(choice):
            answer["logprobs"] = logprobs
        total = self._since(self._began)
        return answer | _ending(choice.get("finish_reason"), payload.get("usage"), total, 0, total)


class Vectors(_Collected):
    """Embeddings.

    Args:
        several: the form of /api/embed; else that of /api/embeddings.
    """

    def __init__(self, clock: Clock, began: float, *, several: bool) -> None:
        super().__init__(clock, began)
        self._several = several

    def _translated(self, payload: dict[str, Any]) -> dict[str, Any]:
        data = sorted(payload["data"], key=index_of)
        vectors = [entry["embedding"] for entry in data]
        if not self._several:
            return {"embedding": vectors[0] if vectors else []}
        return {
            "model": payload.get("model") or "",
            "embeddings": vectors,
            "total_duration": self._since(self._began),
            "load_duration": 0,
            "prompt_eval_count": (payload.get("usage") or {}).get("prompt_tokens") or 0,
        }


class Lines:
    """A stream's events as lines. A piece of text is passed on as the backend wrote it.

    Args: as of `Whole`.
    """

    def __init__(self, clock: Clock, began: float, *, chat: bool, thinks: bool) -> None:
        self._clock = clock
        self._began = began
        self._chat = chat
        self._thinks = thinks
        self._around = _CHAT if chat else _GENERATE
        self._events = sse.Splitter()
        self._alike: Alike | None = None  # most events
        self._tries = _TRIES
        self._model = ""
        self._second = 0  # for which `_head` holds
        self._head = b""
        self._first: float | None = None  # when the first text came
        self._calls: Assembler | None = None
        self._reason: str | None = None
        self._usage: Any = None
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """Events in, lines out."""
        line = self._usual(data)
        return b"".join(map(self._line, self._events.feed(data))) if line is None else line

    def _line(self, event: bytes) -> bytes:
        line = self._usual(event)
        return self._event(event) if line is None else line

    def _usual(self, event: bytes) -> bytes | None:
        """The line of an event that differs from others in its text alone; None for any other."""
        usual = self._alike
        if usual is None or usual.text_of(event) is None:
            return None
        return self._piece(event[len(usual.before) : -len(usual.behind)], usual.thinking)

    def flush(self) -> bytes:
        return b""  # a stream that is complete ends with [DONE], any other with an error

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
            return _error_line(reason_of(error) or "The backend reported an error.")
        if not self._model and isinstance(chunk.get("model"), str):
            self._model, self._second = chunk["model"], 0
        self._usage = chunk.get("usage") or self._usage
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or index_of(choice) != 0:
            return b""
        if is_reason(choice.get("finish_reason")):
            self._reason = choice["finish_reason"]
        return self._said(event, chunk, choice)

    def _said(self, event: bytes, chunk: dict[str, Any], choice: dict[str, Any]) -> bytes:
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            delta = {"content": choice.get("text")}
        lines = b""
        if thought := _thought(delta):
            lines = self._piece(orjson.dumps(thought), True)
        if text := text_of(delta) or delta.get("refusal"):
            logprobs = _logprobs(choice)
            more = b',"logprobs":' + orjson.dumps(logprobs) if logprobs else b""
            lines += self._piece(orjson.dumps(text), False, more)
        if delta.get("tool_calls"):
            self._calls = self._calls or Assembler()
            self._calls.add(chunk)
        elif self._tries and choice.get("finish_reason") is None and "delta" in choice:
            self._learn(event, chunk, delta)
        return lines

    def _learn(self, event: bytes, chunk: dict[str, Any], delta: dict[str, Any]) -> None:
        """See what the events to come have in common with this one, if it brought text alone."""
        said = [name for name, value in delta.items() if value and name != "role"]
        plain = not chunk.get("usage") and not _logprobs(chunk["choices"][0])
        if (
            plain
            and len(said) == 1
            and len(chunk["choices"]) == 1
            and (said[0] == "content" or said[0] in _REASONING)
            and isinstance(delta[said[0]], str)
        ):
            self._tries -= 1
            self._alike = alike(event, chunk, said[0])

    def _piece(self, text: bytes, thinking: bool, more: bytes = b"") -> bytes:
        """The line of a piece of text, which is JSON already."""
        if self._first is None:
            self._first = self._clock.monotonic()
        if thinking and not self._thinks:
            return b""
        before, behind = self._around[thinking]
        if more:
            behind = behind.replace(b"}\n", more + b"}\n")
        return self._begun() + before + text + behind

    def _begun(self) -> bytes:
        """How a line begins. Its time is written out once a second, which takes longer than all
        else that a line needs."""
        now = self._clock.time()
        if int(now) != self._second:
            self._second = int(now)
            head = orjson.dumps(opening(self._model, self._second))
            self._head = head[: head.rindex(b".") + 1]
        return b'%b%06dZ"' % (self._head, (now - self._second) * 1e6)

    def _end(self) -> bytes:
        now = self._clock.monotonic()
        first = now if self._first is None else self._first
        lines = b""
        if self._calls is not None and self._chat:
            calls = self._calls.payload()["choices"][0]["message"]["tool_calls"]
            try:
                written = orjson.dumps(_tool_calls(calls))
            except UpstreamBroken as error:
                return _error_line(error.message)
            lines = self._begun() + self._around[0][0] + b'"","tool_calls":' + written
            lines += self._around[0][1]
        durations = (now - self._began, first - self._began, now - first)
        ending = _ending(self._reason, self._usage, *map(_nanoseconds, durations))
        said = b'""}' if self._chat else b'""'
        last = self._begun() + self._around[0][0] + said + b","
        return lines + last + orjson.dumps(ending)[1:] + b"\n"


def _ending(reason: Any, usage: Any, total: int, prompt: int, answer: int) -> dict[str, Any]:
    """What ends an answer; durations in nanoseconds. What the router waited for a model to be
    loaded is not known."""
    counted = usage if isinstance(usage, dict) else {}
    ending: dict[str, Any] = {
        "done_reason": "length" if reason == "length" else "stop",
        "done": True,
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_count": counted.get("prompt_tokens"),
        "prompt_eval_duration": prompt,
        "eval_count": counted.get("completion_tokens"),
        "eval_duration": answer,
    }
    return {name: value for name, value in ending.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


def _error_line(message: str) -> bytes:
    return orjson.dumps({"error": message}) + b"\n"


def _thought(said: dict[str, Any]) -> str:
    """The reasoning of a message or of a delta."""
    found = (said[name] for name in _REASONING if isinstance(said.get(name), str))
    return next((text for text in found if text), "")


def _logprobs(choice: dict[str, Any]) -> Any:
    found = choice.get("logprobs")
    return found.get("content") if isinstance(found, dict) else None


def _tool_calls(calls: Any) -> list[dict[str, Any]]:
    """Tool calls with their arguments as objects.

    Raises:
        UpstreamBroken: the arguments of one are not a JSON object.
    """
    translated = []
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        function = call.get("function") or {}
        name, given = function.get("name") or "", function.get("arguments")
        try:
            arguments = lenient(given.encode()) if isinstance(given, str) and given else given
        except ValueError:
            arguments = given
        if not isinstance(arguments or {}, dict):
            raise UpstreamBroken(
                f"The model calls the tool {name[:80]!r} with arguments that are not a JSON object."
            )
        called = {"index": index, "name": name, "arguments": arguments or {}}
        translated.append({"id": call.get("id") or f"call_{index}", "function": called})
    return translated
