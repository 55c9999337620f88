"""JSON of the OpenAI API: complete answers, stream chunks, usage and log-probabilities."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.generation import Generation
from simulator.rubric import first_token_probabilities

FINGERPRINT = "simulated"

_ids = itertools.count(1)
_GENERIC_ALTERNATIVES: tuple[tuple[str, float], ...] = (
    (" the", -3.1),
    (" a", -3.9),
    (" of", -4.4),
    (" and", -5.0),
    ("\n", -5.7),
)


@dataclass(slots=True)
class Shape:
    """The API in use, and the parts of the answer that were requested."""

    chat: bool
    model: str
    id: str
    created: int
    logprobs: int | None = None  # number of alternatives; None = no log-probabilities
    label_probabilities: Any = None
    parsed_as: str = (
        ""  # the reasoning field that a parser puts a constrained answer of one token into
    )

    @property
    def object(self) -> str:
        return "chat.completion" if self.chat else "text_completion"


def new_shape(
    chat: bool, model: str, body: dict[str, Any], label_probabilities: Any, parser: bool = False
) -> Shape:
    wanted = body.get("logprobs")
    count: int | None = None
    if chat and wanted:
        top = body.get("top_logprobs")
        count = top if isinstance(top, int) else 0
    elif not chat and isinstance(wanted, int) and not isinstance(wanted, bool):
        count = wanted
    parsed_as = ""
    if parser and chat:
        if body.get("include_reasoning") is False:
            count = None
        if body.get("structured_outputs") and body.get("max_tokens") == 1:
            parsed_as = "reasoning_content"
    prefix = "chatcmpl" if chat else "cmpl"
    return Shape(
        chat,
        model,
        f"{prefix}-sim-{next(_ids):08x}",
        int(time.time()),
        count,
        label_probabilities,
        parsed_as,
    )


def usage(generations: list[Generation]) -> dict[str, Any]:
    prompt = generations[0].prompt_tokens
    completion = sum(len(generation.pieces) for generation in generations)
    result: dict[str, Any] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    if generations[0].cached_tokens:
        result["prompt_tokens_details"] = {"cached_tokens": generations[0].cached_tokens}
    return result


def whole(shape: Shape, generations: list[Generation], with_usage: bool = True) -> bytes:
    result: dict[str, Any] = {
        "id": shape.id,
        "object": shape.object,
        "created": shape.created,
        "model": shape.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [
            _choice(shape, generation, index) for index, generation in enumerate(generations)
        ],
    }
    if with_usage:
        result["usage"] = usage(generations)
    return orjson.dumps(result)


def _choice(shape: Shape, generation: Generation, index: int) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "finish_reason": generation.finish, "logprobs": None}
    if not shape.chat:
        choice["text"] = generation.text("content")
        if shape.logprobs is not None:
            choice["logprobs"] = _legacy_logprobs(shape, generation)
        return choice
    message: dict[str, Any] = {"role": "assistant", "content": generation.text("content")}
    for field in ("reasoning_content", "reasoning"):
        if text := generation.text(field):
            message[field] = text
    if shape.parsed_as:
        message[shape.parsed_as], message["content"] = message["content"], None
    if generation.tool:
        call = {"name": generation.tool, "arguments": generation.text("tool")}
        message["content"] = None
        message["tool_calls"] = [
            {"id": _call_id(shape, index), "type": "function", "function": call}
        ]
    choice["message"] = message
    if shape.logprobs is not None:
        choice["logprobs"] = {
            "content": [_logprob(shape, generation, i) for i in range(len(generation.pieces))]
        }
    return choice


def _call_id(shape: Shape, index: int) -> str:
    return f"call_{shape.id[-8:]}_{index}"


def _alternatives(shape: Shape, generation: Generation, position: int) -> dict[str, float]:
    """Log-probabilities of the token at this position, including the chosen one."""
    token = generation.pieces[position][1]
    if generation.labels and position == generation.thinking:
        table = first_token_probabilities(
            generation.label, generation.labels, shape.label_probabilities
        )
        table.setdefault(token, round(math.log(0.01), 4))
        return table
    return {**dict(_GENERIC_ALTERNATIVES), token: round(-0.02 - (position % 7) * 0.01, 4)}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {
        "token": token,
        "logprob": logprob,
        "bytes": list(token.encode("utf-8", "surrogatepass")),
    }


def _logprob(shape: Shape, generation: Generation, position: int) -> dict[str, Any]:
    table = _alternatives(shape, generation, position)
    token = generation.pieces[position][1]
    ranked = sorted(table.items(), key=lambda item: -item[1])[: shape.logprobs or 0]
    return {**_entry(token, table[token]), "top_logprobs": [_entry(*item) for item in ranked]}


def _legacy_logprobs(shape: Shape, generation: Generation) -> dict[str, Any]:
    tokens = [text for _, text in generation.pieces]
    offsets = [0, *itertools.accumulate(len(token) for token in tokens)][: len(tokens)]
    tables = [_alternatives(shape, generation, i) for i in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [table[token] for table, token in zip(tables, tokens, strict=True)],
        "top_logprobs": [
            dict(sorted(table.items(), key=lambda item: -item[1])[: shape.logprobs or 0])
            for table in tables
        ],
        "text_offset": offsets,
    }


class Chunks:
    """Builds the chunks of a stream; common parts are serialised once."""

    def __init__(self, shape: Shape, role_in_each: bool) -> None:
        self._shape = shape
        name = b"chat.completion.chunk" if shape.chat else b"text_completion"
        self._head = (
            b'{"id":"%b","object":"%b","created":%d,"model":%b,'
            b'"system_fingerprint":"simulated","choices":['
            % (
                shape.id.encode(),
                name,
                shape.created,
                orjson.dumps(shape.model),
            )
        )
        self._delta_head = b'"delta":{"role":"assistant",' if role_in_each else b'"delta":{'

    def role(self, index: int) -> bytes:
        delta = (
            b'{"index":%d,"delta":{"role":"assistant","content":""},'
            b'"logprobs":null,"finish_reason":null}]}' % index
        )
        return self._head + delta

    def piece(
        self, generation: Generation, index: int, position: int, finish: str | None = None
    ) -> bytes:
        field, text = generation.pieces[position]
        if field == "tool":
            inner = b'"delta":' + orjson.dumps(
                {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
            )
        elif self._shape.chat:
            inner = b'%b"%b":%b}' % (self._delta_head, field.encode(), orjson.dumps(text))
        else:
            inner = b'"text":' + orjson.dumps(text)
        logprobs = b"null"
        if self._shape.logprobs is not None:
            logprobs = self._logprobs(generation, position)
        reason = b"null" if finish is None else b'"%b"' % finish.encode()
        return b'%b{"index":%d,%b,"logprobs":%b,"finish_reason":%b}]}' % (
            self._head,
            index,
            inner,
            logprobs,
            reason,
        )

    def _logprobs(self, generation: Generation, position: int) -> bytes:
        if self._shape.chat:
            return orjson.dumps({"content": [_logprob(self._shape, generation, position)]})
        table = _alternatives(self._shape, generation, position)
        token = generation.pieces[position][1]
        return orjson.dumps(
            {"tokens": [token], "token_logprobs": [table[token]], "top_logprobs": [table]}
        )

    def tool_start(self, generation: Generation, index: int) -> bytes:
        call = {
            "index": 0,
            "id": _call_id(self._shape, index),
            "type": "function",
            "function": {"name": generation.tool, "arguments": ""},
        }
        delta = orjson.dumps({"tool_calls": [call]})
        return b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":null}]}' % (
            self._head,
            index,
            delta,
        )

    def finish(self, generation: Generation, index: int) -> bytes:
        inner = b'"delta":{"content":""}' if self._shape.chat else b'"text":""'
        return b'%b{"index":%d,%b,"logprobs":null,"finish_reason":"%b"}]}' % (
            self._head,
            index,
            inner,
            generation.finish.encode(),
        )

    def usage(self, generations: list[Generation]) -> bytes:
        return self._head + b'],"usage":' + orjson.dumps(usage(generations)) + b"}"
