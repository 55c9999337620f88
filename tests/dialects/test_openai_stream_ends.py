"""How a stream ends: done, cut, with a gap, or with an error."""

from __future__ import annotations

import pytest

from airouter.dialects.openai_stream import SseReader, error_event
from tests.dialects.streams import DONE, delta, event, finish, read, stream


def test_the_last_event_may_lack_its_blank_line() -> None:
    """A stream that ends right after its last event loses nothing; half an event is not passed
    on."""
    assert read(stream(delta("a")) + delta("b"))[0] == stream(delta("a"), delta("b"))
    assert read(stream(delta("a")) + delta("b")[:-5])[0] == stream(delta("a"))


def test_our_own_error_event() -> None:
    """The event that clients raise an exception for."""
    assert error_event({"error": {"message": "m"}}) == b'data: {"error":{"message":"m"}}\n\n'


def test_done_alone_completes_an_answer_of_a_backend_that_gives_no_reasons() -> None:
    """Some servers end by [DONE] and never name a reason; but not where a choice is still open."""
    assert read(stream(delta("a"), DONE))[1].complete
    assert not read(stream(DONE))[1].complete
    assert not read(stream(delta("a"), event(error={"message": "x"}), DONE))[1].complete
    assert not read(stream(delta("a"), delta("b", 1), finish(), DONE))[1].complete


def test_what_follows_a_gap_is_held_back_until_it_is_asked_for() -> None:
    """Text may be missing where an event cannot be read: the owner decides whether to go on."""
    reader = SseReader(keep_usage=False, stop_at_gap=True)
    broken = b'data: {"choices":[{"index":0,"delta":{"cont'
    assert reader.feed(stream(delta("a"), broken, delta("c"))) == stream(delta("a"))
    assert reader.held
    assert reader.feed(stream(delta("d"))) == b""
    assert reader.state.text == "a"
    assert reader.pass_gap() == stream(delta("c"), delta("d"))
    assert reader.state.gap
    assert not reader.held


@pytest.mark.parametrize("junk", [b"data: ping", b"data: 5", b"data:", b"data: <html>"])
def test_junk_that_was_no_chunk_is_no_gap(junk: bytes) -> None:
    """Nothing can be missing where nothing of an answer stood."""
    assert not read(stream(delta("a"), junk, finish()))[1].gap


def test_garbage_behind_the_end_is_no_gap() -> None:
    """A complete answer stays complete."""
    assert not read(stream(delta("a"), finish(), b"data: {not json"))[1].gap


@pytest.mark.parametrize("mark", [b'"[DONE]"', b"[done]", b"[DONE]  "])
def test_done_is_read_however_it_is_written(mark: bytes) -> None:
    """A server without reasons to finish has nothing else to end its stream with."""
    reader = SseReader(keep_usage=False, choices=1)
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    assert reader.feed(b"data: " + mark + b"\n\n") == b""
    assert reader.state.complete


def test_one_choice_with_another_index_is_complete() -> None:
    """As many as were asked for have ended, and every one that came."""
    reader = SseReader(keep_usage=False, choices=1)
    reader.feed(b'data: {"choices":[{"index":1,"delta":{"content":"a"}}]}\n\n')
    assert not reader.state.complete
    reader.feed(b'data: {"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}\n\n')
    assert reader.state.complete


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"message":"why"}\n\n',
        b'event:  error\r\ndata: {"message":"why"}\r\n\r\n',
        b'id: 3\nevent: error\ndata: {"message":"why"}\n\n',
        b'data: {"message":"why"}\nevent: error\n\n',
        b"event: error\ndata: why\n\n",
        b'data: {"detail":"why"}\n\n',
    ],
)
def test_an_error_behind_content_is_no_end(event: bytes) -> None:
    """Also where `[DONE]` follows it: the answer is not complete."""
    reader = SseReader(keep_usage=False, choices=1)
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    assert reader.feed(event + b"data: [DONE]\n\n") == b""
    assert reader.state.error is not None
    assert "why" in str(reader.state.error)
    assert not reader.state.complete
