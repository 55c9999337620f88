"""Server-sent events, however their bytes are cut: whole events out, and the same notes taken."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_stream import SseReader
from tests.dialects.streams import DONE, USAGE, delta, event, finish, read, role, stream, usage

EVENTS = st.one_of(
    st.text(max_size=12).map(delta),
    st.just(
        b"data: "
        + json.dumps(
            {"choices": [{"index": 0, "delta": {"content": "ü 漢 🔑"}}]}, ensure_ascii=False
        ).encode()
    ),
    st.sampled_from(
        [
            role(),
            finish(),
            finish(1),
            usage(),
            DONE,
            b": ping",
            b"",
            b"data: {not json",
            b"data: 5",
            b"data: []",
            b"event: x\nid: 7",
        ]
    ),
    st.sampled_from(
        [
            b'data: {"choices":\ndata: [{"index":0,"delta":{"content":"x"}}]}',
            b"data:" + delta("close")[6:],
            b"\xff",
        ]
    ),
)
ENDS = st.sampled_from(
    [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\n\n", b"\n\n\n\n", b"\r\n\r\n\r\n", b"\n\r\n"]
)


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.lists(st.tuples(EVENTS, ENDS), max_size=10),
    st.lists(st.integers(0, 2000), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_any_split_of_the_bytes_gives_the_same(
    events: list[tuple[bytes, bytes]], cuts: list[int], keep_usage: bool, unended: bool
) -> None:
    """Wherever the network cuts the stream, the output and what was noted are the same."""
    data = b"".join(piece + end for piece, end in events)
    if unended:
        data = data.rstrip(b"\r\n")
    whole, state = read(data, keep_usage=keep_usage)
    assert read(
        data, keep_usage=keep_usage, cuts=tuple(cut for cut in cuts if cut < len(data))
    ) == (whole, state)
    assert read(data, keep_usage=keep_usage, cuts=tuple(range(len(data)))) == (whole, state)


def test_events_pass_as_they_came() -> None:
    """The bytes of good events are untouched, comments included; [DONE] is held back."""
    data = stream(b": ping", role(), delta("a"), delta("b"), finish())
    assert read(data + stream(DONE))[0] == data
    assert read(data + stream(DONE))[1].done


def test_only_whole_events_come_out() -> None:
    """A part of an event waits for its end."""
    reader = SseReader(keep_usage=False)
    first, second = stream(delta("a")), stream(delta("b"))
    assert reader.feed(first + second[:10]) == first
    assert reader.feed(second[10:-1]) == b""
    assert reader.feed(second[-1:]) == second


@pytest.mark.parametrize("keep", [True, False])
def test_the_usage_chunk_is_noted_and_dropped_unless_wanted(keep: bool) -> None:
    """Usage is always learnt; its chunk passes only for a client that asked."""
    out, state = read(stream(delta("a"), finish(), usage()), keep_usage=keep)
    assert state.usage == USAGE
    assert (b'"usage"' in out) == keep


def test_usage_beside_a_choice_is_kept() -> None:
    """A chunk that carries content as well as usage is content."""
    data = stream(
        event(
            choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}], usage=USAGE
        )
    )
    out, state = read(data)
    assert out == data
    assert state.usage == USAGE


def test_what_counts_as_content() -> None:
    """A role alone is not content; text, reasoning, a tool call, a refusal or an end without text
    is."""
    assert not read(stream(role(), event(choices=[])))[1].started
    for part in (
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"tool_calls": [{"index": 0}]},
        {"refusal": "no"},
    ):
        assert read(stream(event(choices=[{"index": 0, "delta": part}])))[1].started
    assert read(stream(finish()))[1].started
    assert read(stream(event(choices=[{"index": 0, "text": "x"}])))[1].started


def test_an_answer_is_complete_when_every_choice_is() -> None:
    """With two choices under way one finish reason is not enough."""
    assert read(stream(delta("a"), finish()))[1].complete
    assert not read(stream(delta("a"), delta("b", 1), finish()))[1].complete
    assert read(stream(delta("a"), delta("b", 1), finish(), finish(1)))[1].complete
    assert not read(stream(delta("a")))[1].complete


def test_garbage_is_dropped_and_counted() -> None:
    """What is not JSON, or not an object, never reaches a client."""
    out, state = read(stream(delta("a"), b"data: {oops", b"data: 7", delta("b")))
    assert out == stream(delta("a"), delta("b"))
    assert state.garbage == 2


def test_an_error_event_is_noted_and_held_back() -> None:
    """How an error is told is for the relay to decide."""
    out, state = read(stream(delta("a"), event(error={"message": "boom", "code": 500})))
    assert out == stream(delta("a"))
    assert state.error == {"message": "boom", "code": 500}
    assert read(stream(event(error="boom")))[1].error == {"message": "boom"}


MISSHAPEN = [
    None,
    5,
    {"index": [1], "finish_reason": "stop"},
    {"index": None},
    {"index": 0, "delta": 7},
    {"delta": {"content": [1]}},
]


@pytest.mark.parametrize("choice", MISSHAPEN)
def test_a_misshapen_choice_breaks_nothing(choice: object) -> None:
    """A backend that sends nonsense inside a choice does not stop the reading."""
    out, _ = read(stream(event(choices=[choice]), delta("a")))
    assert out.endswith(stream(delta("a")))


def test_the_text_is_remembered_up_to_a_limit() -> None:
    """The start of choice 0 is kept, the rest only passed on."""
    reader = SseReader(keep_usage=False, keep_text=10)
    for _ in range(100):
        reader.feed(stream(delta("12345"), delta("other", 1)))
    assert reader.state.text.startswith("1234512345")
    assert len(reader.state.text) <= 15


def test_an_event_without_end_is_refused() -> None:
    """More than 16 MB without an event's end is an error, not a full memory."""
    reader = SseReader(keep_usage=False)
    assert reader.feed(b"x" * 10_000_000) == b""
    with pytest.raises(ValueError, match="16 MB"):
        reader.feed(b"x" * 10_000_000)


@pytest.mark.parametrize("boundary", [b"\n\n", b"\n\r\n", b"\r\r"])
def test_a_boundary_is_found_wherever_the_bytes_are_split(boundary: bytes) -> None:
    whole = delta("a" * 40) + boundary + delta("b") + boundary
    for first in range(1, len(whole)):
        for second in range(first, min(first + 3, len(whole))):
            reader = SseReader(keep_usage=False)
            pieces = (whole[:first], whole[first:second], whole[second:])
            assert b"".join(map(reader.feed, pieces)) == whole
            assert reader.state.events == 2


@pytest.mark.parametrize(
    "many", [b": hi\n\n", b"data:\n\n", b": hi\r\n\r\n", b": hi\r\r", b"data: 1\n\n"]
)
def test_many_small_events_cost_what_they_weigh(many: bytes) -> None:
    reader, started = SseReader(keep_usage=False), time.monotonic()
    reader.feed(many * 100_000)
    assert time.monotonic() - started < 15  # each was looked for in all the rest
    assert not reader.mid_event


def test_an_event_in_small_pieces_costs_what_it_weighs() -> None:
    reader, started = SseReader(keep_usage=False), time.monotonic()
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"')
    for _ in range(15_000):
        assert reader.feed(b"x" * 1000) == b""
    assert reader.feed(b'"}}]}\n\n').endswith(b"\n\n")
    assert reader.state.started
    assert time.monotonic() - started < 10  # it was joined and searched anew for each piece


@pytest.mark.parametrize("reason", ["", "null", "None", 1, True, {}, []])
def test_only_a_text_is_a_reason(reason: Any) -> None:
    """Servers fill the field of unfinished chunks with what stands for nothing."""
    state = read(stream(delta("a", finish_reason=reason)))[1]
    assert (state.finish_reasons, state.complete) == ({}, False)


@pytest.mark.parametrize(
    "content",
    [
        {"audio": {"id": "a", "data": "AAAA"}},
        {"images": [{"type": "image_url"}]},
        {"function_call": {"arguments": "x"}},
        {"tool_calls": [{"index": 0}]},
        {"refusal": "No."},
        {"something_new": "x"},
        {"content": [{"type": "text", "text": "x"}]},
    ],
    ids=lambda content: next(iter(content)),
)
def test_whatever_a_delta_holds_is_content(content: dict[str, Any]) -> None:
    """Sound, pictures and what is yet to be invented count as an answer's beginning, but are not
    text that could be continued."""
    state = read(stream(event(id="c", choices=[{"index": 0, "delta": content}])))[1]
    assert state.started
    assert not state.plain


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "reasoning_details"])
def test_reasoning_is_content_too(field: str) -> None:
    """An answer may begin by thinking aloud."""
    state = read(stream(event(id="c", choices=[{"index": 0, "delta": {field: "Hm"}}])))[1]
    assert (state.started, state.thinking, state.plain) == (True, True, True)


def test_a_delta_of_nothing_is_no_content() -> None:
    """The first chunk of most servers names a role and holds an empty text."""
    empty = {"role": "assistant", "content": "", "tool_calls": [], "refusal": None}
    assert not read(stream(event(id="c", choices=[{"index": 0, "delta": empty}])))[1].started


def test_what_a_usage_chunk_says_besides_is_passed_on() -> None:
    """Only the usage was the router's wish; citations or a fingerprint are the client's."""
    last = event(id="c", model="m", choices=[], usage=USAGE, citations=["http://127.0.0.1/a"])
    out, state = read(stream(delta("a"), last))
    assert state.usage == USAGE
    sent = json.loads(out.split(b"\n\n")[1][6:])
    assert sent == {"id": "c", "model": "m", "choices": [], "citations": ["http://127.0.0.1/a"]}
    repeated = event(id="c", model="m", choices=[], usage=USAGE)
    assert read(stream(delta("a"), repeated))[0] == stream(delta("a"))


def test_numbers_that_json_does_not_know_are_read() -> None:
    """NaN and Infinity among log-probabilities: the text beside them counts, the bytes pass."""
    chunk = delta("a").replace(b'"finish_reason": null', b'"logprobs": {"x": [NaN, -Infinity]}')
    out, state = read(stream(chunk))
    assert (out, state.text, state.garbage) == (stream(chunk), "a", 0)


def test_half_an_emoji_in_an_event_is_read() -> None:
    """Servers split an emoji into two escapes over two events."""
    half = b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}'
    out, state = read(stream(half))
    assert (out, state.text, state.garbage) == (stream(half), "a\ufffd", 0)
