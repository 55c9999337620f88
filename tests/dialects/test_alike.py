"""Events that differ in their text alone are not parsed, and are noted as if they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_stream import SseReader
from tests.dialects.streams import DONE, delta, event, finish, read, role, stream, usage

END = b"\n\n"
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["content", "index", "c", '"', "\\", '","error":"x', "data: ", "\n\n", "\x01"]),
)


def reasoning(text: str) -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": {"reasoning_content": text}}])


def spliced(text: str) -> bytes:
    """As a server would write it that escapes nothing."""
    return delta("@@").replace(b"@@", text.encode("utf-8", "surrogatepass"))


EVENTS = st.one_of(
    TEXTS.map(delta),
    TEXTS.map(reasoning),
    TEXTS.map(spliced),
    TEXTS.map(lambda text: delta(text, index=1)),
    TEXTS.map(lambda text: delta(text, finish_reason="stop")),
    TEXTS.map(lambda text: event(id="c", error={"message": text}, choices=[])),
    st.sampled_from([role(), finish(), usage(), DONE, b": ping", b'data: {"not json']),
    st.sampled_from([b"data: " + delta("x")[6:-1], delta("x") + b"\ndata: 5"]),
)


def one_by_one(events: list[bytes]) -> tuple[bytes, SseReader]:
    reader = SseReader(keep_usage=False, stop_at_gap=True)
    return b"".join([reader.feed(item + END) for item in events]), reader


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(EVENTS, max_size=12))
def test_the_same_is_noted_and_passed_on_as_when_each_is_parsed(events: list[bytes]) -> None:
    passed, reader = one_by_one(events)
    parsing = SseReader(keep_usage=False, stop_at_gap=True)
    parsing._tries = 0
    assert passed == b"".join([parsing.feed(item + END) for item in events])
    assert reader.state == parsing.state


def test_nothing_but_the_first_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["It", " is", " 漢", ' "x"\n', "\\"]
    looked: list[bytes] = []
    look = SseReader._look

    def counting(reader: SseReader, item: bytes) -> bytes:
        looked.append(item)
        return look(reader, item)

    monkeypatch.setattr(SseReader, "_look", counting)
    events = [delta(text) for text in texts]
    passed, reader = one_by_one(events)
    assert passed == stream(*events)
    assert looked == [events[0] + END]
    assert reader.state.text == "".join(texts)
    assert reader.state.said == len(texts)


def test_reasoning_is_followed_by_an_answer() -> None:
    _, reader = one_by_one([reasoning("a"), reasoning("b"), delta("c"), delta("d"), delta("e")])
    assert reader.more_text
    assert reader.state.text == "cde"
    assert not reader.state.thinking
    assert reader.state.said == 5


@pytest.mark.parametrize(
    "other",
    [
        delta("x", index=1),
        delta("x", finish_reason="length"),
        finish(),
        role(),
        delta(""),
        event(choices=[{"index": 0, "delta": {"content": "x", "tool_calls": [{}]}}]),
        event(choices=[{"index": 0, "delta": {"content": "x"}}], usage={"total_tokens": 1}),
        b": ping",
        b"data: [DONE]",
        b"data: {broken",
    ],
)
def test_anything_else_is_looked_at(other: bytes) -> None:
    _, reader = one_by_one([delta("a"), delta("b"), other])
    assert not reader.more_text


@pytest.mark.parametrize("text", ["c", "m", "content", "index"])
def test_a_text_that_stands_elsewhere_too_is_not_taken_for_it(text: str) -> None:
    _, reader = one_by_one([delta(text), delta("b")])
    assert not reader.more_text
    assert reader.state.text == text + "b"


def test_a_text_that_is_escaped_otherwise_is_not_confused_with_its_double() -> None:
    first = b'data: {"x":"hi","choices":[{"index":0,"delta":{"content":"\\u0068i"}}]}'
    second = b'data: {"x":"no","choices":[{"index":0,"delta":{"content":"\\u0068i"}}]}'
    _, reader = one_by_one([first, second])
    assert reader.state.text == "hihi"


def test_a_stream_whose_events_have_nothing_in_common_is_soon_left_alone() -> None:
    events: list[Any] = [
        {"id": number, "choices": [{"index": 0, "delta": {"content": "x"}}]} for number in range(99)
    ]
    _, reader = one_by_one([b"data: " + json.dumps(item).encode() for item in events])
    assert reader._tries == 0
    assert reader.state.said == 99


def test_a_line_that_ends_within_the_event_is_not_overlooked() -> None:
    cut = delta("b").replace(b'"b"', b'"b"\n\n')
    passed, reader = one_by_one([delta("a"), cut])
    assert not reader.more_text
    assert passed == stream(delta("a"))


def test_what_follows_a_gap_is_held_back() -> None:
    passed, reader = one_by_one([delta("a"), delta("b"), b'data: {"broken', delta("c"), delta("d")])
    assert passed == stream(delta("a"), delta("b"))
    assert reader.held
    assert reader.pass_gap() == stream(delta("c"), delta("d"))


def test_a_continuation_is_rewritten_event_by_event() -> None:
    reader = SseReader(keep_usage=False, rewrite=lambda _: b"data: rewritten\n\n")
    assert [reader.feed(delta(text) + END) for text in "abc"] == [b"data: rewritten\n\n"] * 3


def test_reading_at_once_gives_the_same() -> None:
    events = [role(), delta("a"), delta("b"), delta("c"), finish(), DONE]
    cuts = tuple(len(stream(*events[:count])) for count in range(1, len(events)))
    assert read(stream(*events), cuts=cuts) == read(stream(*events))
