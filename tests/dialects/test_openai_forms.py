"""Whole answers that are put together from the pieces of a stream, and errors in place of an
answer."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest

from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_errors import openai_shaped
from airouter.domain.errors import UpstreamBroken, UpstreamStatus
from tests.dialects.answers import choice, completion, events, read


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}]}, "tool_calls"),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
        ({"content": "Hello"}, "stop"),
    ],
)
def test_a_reason_that_is_missing_fits_what_was_said(message: dict[str, Any], reason: str) -> None:
    """A client of a stream acts on its reason to finish."""
    body = orjson.dumps(completion(choice(None, None, **message)))
    answer, problem, _ = read(body, stream=True)
    assert (problem, answer.state.finish_reasons) == (None, {0: reason})


def test_numbers_too_large_for_64_bits_are_read_and_written() -> None:
    """The strict reading gives way to the lenient one at a bare NaN, and both make floats of
    them."""
    body = json.dumps(completion(choice(), x=float("nan"), big=10**30)).encode()
    answer, problem, out = read(body, stream=True)
    assert (problem, answer.state.text) == (None, "Hello")
    assert b'"big":1e+30' in out


@pytest.mark.parametrize(
    ("deltas", "name", "whole"),
    [
        (
            [{"audio": {"id": "a", "data": "AA"}}, {"audio": {"id": "a", "data": "BB"}}],
            "audio",
            {"id": "a", "data": "AABB"},
        ),
        (
            [
                {"function_call": {"name": "f", "arguments": "{"}},
                {"function_call": {"name": "f", "arguments": "}"}},
            ],
            "function_call",
            {"name": "f", "arguments": "{}"},
        ),
        (
            [
                {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "h"}]},
                {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "m"}]},
            ],
            "reasoning_details",
            [{"type": "reasoning.text", "index": 0, "text": "hm"}],
        ),
        (
            [
                {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
                {"tool_calls": [{"function": {"arguments": "}"}}]},
                {"tool_calls": [{"id": "b", "function": {"name": "f", "arguments": "{}"}}]},
            ],
            "tool_calls",
            [
                {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "function": {"name": "f", "arguments": "{}"}},
            ],
        ),
        ([{"refusal": "I "}, {"refusal": "can't"}], "refusal", "I can't"),
        ([{"images": [{"u": "x"}]}, {"images": [{"u": "y"}]}], "images", [{"u": "x"}, {"u": "y"}]),
    ],
)  # fmt: skip
def test_pieces_of_any_field_are_put_together(
    deltas: list[dict[str, Any]], name: str, whole: Any
) -> None:
    """Texts come in pieces; what names them comes once, or again with each piece."""
    answer, problem, _ = read(events(*deltas), stream=False)
    assert problem is None
    assert answer.payload is not None
    assert answer.payload["choices"][0]["message"][name] == whole


def test_what_grows_beside_the_choices_is_taken_from_the_last_event() -> None:
    """Citations and timings are complete at the end."""
    first, last = orjson.loads(events({"content": "a"}, done=False)[6:].split(b"\n")[0]), {}
    last = {**first, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    body = b"".join(
        b"data: " + orjson.dumps({**chunk, "citations": cited}) + b"\n\n"
        for chunk, cited in ((first, ["x"]), (last, ["x", "y"]))
    )
    answer, _, _ = read(body, stream=False)
    assert answer.payload is not None
    assert (answer.payload["citations"], answer.payload["id"]) == (["x", "y"], "c")


def test_choices_whose_index_is_a_text_stay_apart() -> None:
    """`"index": "1"` is what some servers write."""
    chunks = [
        {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
        for i in ("0", "1")
        for choice in (
            {"index": i, "delta": {"content": "text " + i}},
            {"index": i, "delta": {}, "finish_reason": "stop"},
        )
    ]
    body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    answer = Answer("b", "chat", stream=False, choices=2)
    answer.feed(body)
    answer.end()
    assert answer.problem({}) is None
    assert answer.payload is not None
    said = [c["message"]["content"] for c in answer.payload["choices"]]
    assert said == ["text 0", "text 1"]


ERRORS = [
    {"error": {"message": "why", "code": 400}},
    {"error": "why"},
    {"error": True, "message": "why"},
    {"errors": [{"message": "why"}]},
    {"object": "error", "message": "why"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "why"}},
    {"detail": "why"},
    {"detail": [{"loc": ["body"], "msg": "why", "type": "t"}]},
    {"message": "why", "code": 500},
    {"message": "why"},
    {"status": "error", "msg": "why"},
    [{"error": {"code": 503, "message": "why"}}],
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("as_event", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_of_any_shape_is_told(error: Any, as_event: bool, stream: bool) -> None:
    """With status 200, as an event or instead of an answer: the client learns the reason."""
    body = orjson.dumps(error)
    body = b"data: " + body + b"\n\ndata: [DONE]\n\n" if as_event else body
    _, problem, out = read(body, stream=stream)
    assert isinstance(problem, UpstreamStatus)
    assert b"why" in orjson.dumps(openai_shaped(problem)["error"]["message"])  # type: ignore[index]
    assert out == b""


@pytest.mark.parametrize("stream", [False, True])
def test_a_sentence_instead_of_an_answer_is_told(stream: bool) -> None:
    """Plain text often says why; of a page only that it is one."""
    _, problem, _ = read(b"upstream is overloaded", stream=stream, pieces=5)
    assert isinstance(problem, UpstreamBroken)
    assert '"upstream is overloaded"' in problem.message
    _, problem, _ = read(b"<html>log in</html>", stream=stream)
    assert isinstance(problem, UpstreamBroken)
    assert "HTML page" in problem.message


@pytest.mark.parametrize(
    "beat",
    [b"data: {}\n\n", b'data: {"choices":[]}\n\n', b'event: ping\ndata: {"type":"ping"}\n\n',
     b'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n', b": ping\n\n"],
)  # fmt: skip
def test_what_only_keeps_a_connection_alive_is_no_progress(beat: bytes) -> None:
    """A stream that says nothing any more is silent, whatever it sends instead."""
    answer = Answer("b", "chat", stream=True)
    assert answer.feed(events({"content": "a"}, finish=None, done=False)) is True
    assert answer.feed(beat) is False
    assert answer.feed(events({"content": "b"}, finish=None, done=False)) is True


def test_a_stream_of_many_pieces_for_a_whole_answer_costs_what_it_weighs() -> None:
    body, started = events(*[{"content": "x" * 40}] * 60_000), time.monotonic()
    answer, problem, _ = read(body, stream=False)
    assert problem is None
    assert json.loads(answer.raw)["choices"][0]["message"]["content"] == "x" * 2_400_000
    assert time.monotonic() - started < 15  # the text was copied for each piece


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"index": 0, "message": "text", "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": {"a": 1}}], "n": 1},
    ],
)
def test_odd_pieces_for_a_whole_answer_break_nothing(event: dict[str, Any]) -> None:
    odd = b"data: " + orjson.dumps(event) + b"\n\n"
    answer, problem, _ = read(odd * 2 + events({"content": "b"}), stream=False)
    assert problem is None
    assert json.loads(answer.raw)["choices"][0]["message"]["content"].endswith("b")


def test_deeply_nested_pieces_for_a_whole_answer_are_refused() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    odd = b'data: {"choices":[{"index":0,"delta":{"x":' + deep + b"}}]}\n\n"
    _, problem, _ = read(odd * 2 + events({"content": "b"}), stream=False)
    assert isinstance(problem, UpstreamBroken)
