"""An answer is judged by its bytes, and the client gets the form it asked for."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_stream import SseReader
from airouter.domain.errors import UpstreamBroken, UpstreamStatus
from tests.dialects.answers import USAGE, choice, completion, events, read

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
    """A backend that says its role at once and then nothing is as silent as one that says
    nothing."""
    answer = Answer("primary", "chat", stream=True)
    assert not answer.feed(events({"role": "assistant", "content": ""}, finish=None, done=False))
    assert answer.feed(events({"content": "A"}, finish=None, done=False))
