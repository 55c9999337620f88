"""An answer is judged by its bytes, and the client gets the form it asked for."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest

from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_errors import openai_shaped
from airouter.dialects.openai_stream import SseReader
from airouter.domain.errors import RouterError, UpstreamBroken, UpstreamStatus

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def completion(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": list(choices),
        "usage": USAGE,
        **more,
    }


def choice(text: str | None = "Hello", reason: Any = "stop", **message: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": reason,
    }


def events(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True) -> bytes:
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if finish:
        chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    lines = [b"data: " + orjson.dumps({**head, "choices": [c]}) + b"\n\n" for c in chunks]
    return b"".join([*lines, b"data: [DONE]\n\n" if done else b""])


def read(
    body: bytes, *, stream: bool, pieces: int = 0, endpoint: Any = "chat"
) -> tuple[Answer, RouterError | None, bytes]:
    """The answer fed in pieces of so many bytes, its problem, and what a stream may pass on."""
    answer, out = Answer("b", endpoint, stream=stream), b""
    size = pieces or max(1, len(body))
    for start in range(0, len(body), size):
        answer.feed(body[start : start + size])
        out += answer.drain()
    answer.end()
    return answer, answer.problem({}), out + answer.drain()


WHOLE = orjson.dumps(completion(choice()))


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize("lead", [b"", b"\xef\xbb\xbf", b"\n  \n"])
def test_json_for_a_stream_becomes_a_stream(lead: bytes, pieces: int) -> None:
    """The client asked for events: it gets the text, the reason and the end as events."""
    answer, problem, out = read(lead + WHOLE, stream=True, pieces=pieces)
    assert problem is None
    assert (answer.state.text, answer.state.complete, answer.state.usage) == ("Hello", True, USAGE)
    chunks = [json.loads(line[6:]) for line in out.decode().split("\n\n") if line]
    assert [c["object"] for c in chunks] == ["chat.completion.chunk"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    assert chunks[0]["choices"][0]["finish_reason"] == "stop"


def test_tool_calls_of_json_are_told_apart_in_the_stream() -> None:
    """A client of a stream puts tool calls together by their index."""
    calls = [{"id": i, "type": "function", "function": {"name": i}} for i in ("a", "b")]
    body = orjson.dumps(completion(choice(None, None, tool_calls=calls)))
    _, problem, out = read(body, stream=True)
    assert problem is None
    made = json.loads(out.split(b"\n\n")[0][6:])["choices"][0]
    assert [(c["index"], c["id"]) for c in made["delta"]["tool_calls"]] == [(0, "a"), (1, "b")]
    assert made["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize("lead", [b"", b"\xef\xbb\xbf", b": ping\n\n", b"event: message\n"])
def test_a_stream_for_json_becomes_json(lead: bytes, pieces: int) -> None:
    """The client asked for a whole answer: it gets one, put together from the pieces."""
    body = lead + events({"role": "assistant", "content": "Hel"}, {"content": "lo"})
    answer, problem, _ = read(body, stream=False, pieces=pieces)
    assert problem is None
    payload = json.loads(answer.raw)
    assert payload["object"] == "chat.completion"
    assert payload["choices"] == [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello"},
        }
    ]


def test_tool_calls_in_pieces_become_whole_ones() -> None:
    """Names come once, arguments in pieces; a whole answer has no index in its tool calls."""
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    other = {**first, "index": 1, "id": "b"}
    more = [{"index": 0, "function": {"arguments": '{"x"'}}, {"index": 1, "function": {}}]
    last = [{"index": 0, "function": {"arguments": ": 1}"}}]
    body = events(
        {"tool_calls": [first, other]},
        {"tool_calls": more},
        {"tool_calls": last},
        finish="tool_calls",
    )
    answer, problem, _ = read(body, stream=False)
    assert problem is None
    made = json.loads(answer.raw)["choices"][0]["message"]["tool_calls"]
    assert made == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": ""}},
    ]


def test_a_stream_for_json_that_was_cut_is_no_answer() -> None:
    """A gap is never passed off as a whole."""
    for body in (
        events({"content": "Hel"}, finish=None, done=False),
        events({"content": "Hel"}, finish=None, done=False) + b'data: {"choices": [{"delta',
    ):
        _, problem, _ = read(body, stream=False)
        assert isinstance(problem, UpstreamBroken)


@pytest.mark.parametrize("reason", [None, "", "null"])
def test_a_whole_answer_needs_no_reason_where_it_has_text(reason: Any) -> None:
    """Some servers never give one, and a whole JSON object is whole."""
    assert read(orjson.dumps(completion(choice(reason=reason))), stream=False)[1] is None
    empty = orjson.dumps(completion(choice("", reason)))
    assert isinstance(read(empty, stream=False)[1], UpstreamBroken)


def test_bare_nan_in_a_whole_answer_passes_as_it_came() -> None:
    """The text beside it counts; the bytes are the client's to read."""
    body = WHOLE.replace(b'"finish_reason"', b'"logprobs":{"x":[NaN,-Infinity]},"finish_reason"')
    answer, problem, _ = read(body, stream=False)
    assert problem is None
    assert answer.raw == body


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"<html>no</html>", b"nope", b"[1]", b'{"x": 1}', b"{", b'{"choices": []}'],
    ids=repr,
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_answer_is_broken(body: bytes, stream: bool) -> None:
    """HTML, nothing, something else, JSON without an answer: the next backend is asked."""
    _, problem, out = read(body, stream=stream)
    assert isinstance(problem, UpstreamBroken)
    assert out == b""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error": {"message": "x", "code": 429}}', 429),
        (b'{"error": {"message": "x", "code": "400"}}', 400),
        (b'{"error": "x"}', 502),
        (b'{"object": "error", "message": "x", "code": 404}', 404),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["json", "event"])
def test_an_error_with_status_200_is_an_error(
    body: bytes, status: int, stream: bool, form: str
) -> None:
    """In either form, with the status that it names."""
    sent = b"data: " + body + b"\n\n" if form == "event" else body
    _, problem, _ = read(sent, stream=stream)
    assert isinstance(problem, UpstreamStatus)
    assert problem.upstream_status == status


def test_text_and_embeddings_are_answers_too() -> None:
    """A text completion has its text in the choice; an embedding has no choices."""
    text = orjson.dumps({"object": "text_completion", "choices": [{"index": 0, "text": "x"}]})
    assert read(text, stream=False, endpoint="completions")[1] is None
    made, problem, out = read(text, stream=True, endpoint="completions")
    assert (problem, made.state.text) == (None, "x")
    assert b'"text_completion"' in out
    data = orjson.dumps({"object": "list", "data": [{"embedding": [0.1]}]})
    assert read(data, stream=False, endpoint="embeddings")[1] is None


def test_comments_bring_an_answer_no_further() -> None:
    """They are no progress; content, and a part of it, is."""
    answer = Answer("b", "chat", stream=True)
    event = events({"content": "x"}, finish=None, done=False)
    assert not answer.feed(b": ping\n\n")
    assert not answer.feed(events({"role": "assistant", "content": ""}, finish=None, done=False))
    assert not answer.feed(event[:20])
    assert answer.feed(event[20:])
    assert answer.feed(event[:20])
    assert answer.feed(event[20:])
    assert not answer.feed(b": pi")
    assert not answer.feed(b"ng\n\n")


def test_what_was_made_of_json_reads_back() -> None:
    """The two conversions are each other's reverse, as far as a client can see."""
    _, _, out = read(WHOLE, stream=True)
    reader = SseReader(keep_usage=True)
    reader.feed(out)
    assert reader.state.text == "Hello"
    back, problem, _ = read(out, stream=False)
    assert problem is None
    assert json.loads(back.raw)["choices"] == completion(choice())["choices"]


def test_a_role_alone_is_no_content() -> None:
    """A backend that says its role at once and then nothing is as silent as one that says nothing."""
    answer = Answer("primary", "chat", stream=True)
    assert not answer.feed(events({"role": "assistant", "content": ""}, finish=None, done=False))
    assert answer.feed(events({"content": "A"}, finish=None, done=False))


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
    """The strict reading gives way to the lenient one at a bare NaN, and both make floats of them."""
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
        ([{"images": [{"url": "x"}]}, {"images": [{"url": "y"}]}], "images", [{"url": "x"}, {"url": "y"}]),
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
