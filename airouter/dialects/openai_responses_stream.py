"""Streams in OpenAI's chat format as the events of its Responses API."""

from collections.abc import Callable
from typing import Any

import orjson

from airouter.dialects.blocks import Block, Blocks, Kind
from airouter.dialects.openai_errors import CONTEXT_CODE
from airouter.dialects.openai_responses_custom import Input
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.types import immutable

Json = dict[str, Any]


@immutable
class _Kind:
    """What an item of the output consists of.

    `type`: of the item. `prefix`: of its id. `field`: the one that has the text, in the item or in
    its `part`, a type of content. `event`: the beginning of the names of its events.
    """

    type: str
    prefix: str
    field: str
    event: str
    part: str | None = None


_KINDS = {
    "text": _Kind("message", "msg", "text", "output_text", "output_text"),
    "refusal": _Kind("message", "msg", "refusal", "refusal", "refusal"),
    "thinking": _Kind("reasoning", "rs", "text", "reasoning_text", "reasoning_text"),
    "function": _Kind("function_call", "fc", "arguments", "function_call_arguments"),
    "custom": _Kind("custom_tool_call", "ctc", "input", "custom_tool_call_input"),
}
_WITHOUT_TEXT: dict[str, Json] = {"message": {"role": "assistant"}, "reasoning": {"summary": []}}
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAULTS = ("rate_limit_exceeded", CONTEXT_CODE)  # codes of errors that the API has, too


class Events(Blocks):
    """A stream of chunks as a response's events; each block is an item of the output.

    Args:
        id: of the request, in hexadecimal digits: a part of all ids.
        response: its fields before there is any output.
        names: of the tools.
        done: receives the response of an answer that is complete.
    """

    refusals: Kind = "refusal"

    def __init__(
        self, id: str, response: Json, names: Names, done: Callable[[Json], None] | None = None
    ) -> None:
        super().__init__(thinks=True)
        self._id = id
        self.response = response
        self._names = names
        self._done = done
        self._number = 0  # of the next event
        self._output: list[Json] = []  # the items that have ended
        self._kind = _KINDS["text"]  # of the item that is under way
        self._item: Json = {}
        self._place: Json = {}  # of its text
        self._pieces: list[bytes] = []  # its pieces
        self._before = b""  # how an event with one of them begins
        self._input: Input | None = None  # of a custom tool

    def begin(self) -> bytes:
        return self._told("created") + self._told("in_progress")

    def opened(self, block: Block) -> bytes:
        self._pieces, self._input = [], None
        if block.kind == "tool":
            more = self._tool(block)
        else:
            self._kind = _KINDS[block.kind]
            more = {"content": [], **_WITHOUT_TEXT[self._kind.type]}
        kind = self._kind
        known = f"{kind.prefix}_{self._id}_{self.index}"
        self._item = {"id": known, "type": kind.type, "status": "in_progress", **more}
        self._place = {"item_id": known, "output_index": self.index}
        sent = self.say("output_item.added", output_index=self.index, item=self._item)
        if kind.part is not None:
            self._place["content_index"] = 0
            sent += self.say("content_part.added", **self._place, part=_part(kind, ""))
        type_ = f"response.{kind.event}.delta"
        fields = {"type": type_, **self._place, **_logprobs(kind)}
        self._before = b"event: %b\ndata: %b" % (type_.encode(), orjson.dumps(fields)[:-1])
        self._before += b',"delta":'
        return sent

    def _tool(self, block: Block) -> Json:
        called = self._names.of(block.name)
        self._kind = _KINDS["custom" if called.custom else "function"]
        self._input = Input() if called.custom else None
        fields = {
            "call_id": block.id or f"call_{self._id}_{self.index}",
            "name": called.name,
            self._kind.field: "",
        }
        return fields if called.namespace is None else fields | {"namespace": called.namespace}

    def piece(self, text: bytes) -> bytes:
        if self._input is not None:
            said = self._input.feed(orjson.loads(text))
            if not said:
                return b""
            text = orjson.dumps(said)
        self._pieces.append(text)
        number = self._number
        self._number = number + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (self._before, text, number)

    def closed(self, block: Block) -> bytes:
        kind, sent = self._kind, b""
        if self._input is not None and (rest := self._input.flush()):
            self._input = None
            sent = self.piece(orjson.dumps(rest))
        item = self._ended("incomplete" if self._why_incomplete() else "completed")
        self._output.append(item)
        whole = item[kind.field] if kind.part is None else item["content"][0][kind.field]
        done = {kind.field: whole, **_logprobs(kind)}
        sent += self.say(f"{kind.event}.done", **self._place, **done)
        if kind.part is not None:
            sent += self.say("content_part.done", **self._place, part=item["content"][0])
        return sent + self.say("output_item.done", output_index=self.index, item=item)

    def _ended(self, status: str) -> Json:
        """The item with all of its text so far."""
        kind, text = self._kind, "".join(orjson.loads(b"[%b]" % b",".join(self._pieces)))
        said = {kind.field: text} if kind.part is None else {"content": [_part(kind, text)]}
        return {**self._item, **said, "status": status}

    def end(self, *, called: bool) -> bytes:
        reason = self._why_incomplete()
        status = "incomplete" if reason else "completed"
        response = {**self.response, "status": status, "output": self._output}
        response["incomplete_details"] = {"reason": reason} if reason else None
        self.response = response | {"usage": usage_of(self.usage)}
        if self._done is not None:
            self._done(self.response)
        return self._told(status)

    def error(self, error: Json) -> bytes:
        sent = self._begin()
        output = self._output
        if self._blocks and self._blocks[0].opened:
            output = [*output, self._ended("incomplete")]
        code = error.get("code")
        if code not in _FAULTS:
            clients = error.get("type") == "invalid_request_error"
            code = "invalid_prompt" if clients else "server_error"
        said = {"code": code, "message": error["message"]}
        self.response = {**self.response, "status": "failed", "error": said, "output": output}
        return sent + self._told("failed")

    def _why_incomplete(self) -> str | None:
        return _REASONS.get(self.choice.get("finish_reason") or "")

    def _told(self, kind: str) -> bytes:
        return self.say(kind, response=self.response)

    def say(self, name: str, **fields: Any) -> bytes:
        """An event of the type `response.<name>`, with the next number."""
        kind, number = f"response.{name}", self._number
        self._number = number + 1
        data = orjson.dumps({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def usage_of(usage: Any) -> Json | None:
    """The counts; None if the backend told none."""
    if not isinstance(usage, dict):
        return None
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    before, within = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": _count(before, "cached_tokens"),
            "cache_write_tokens": _count(usage, "cache_creation_input_tokens"),
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": _count(within, "reasoning_tokens")},
        "total_tokens": read + written,
    }


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) else 0


def _part(kind: _Kind, text: str) -> Json:
    part: Json = {"type": kind.part, kind.field: text}
    if kind.part == "output_text":
        part |= {"annotations": [], "logprobs": []}
    return part


def _logprobs(kind: _Kind) -> Json:
    """What events of texts have, even if it is empty."""
    return {"logprobs": []} if kind.part == "output_text" else {}
