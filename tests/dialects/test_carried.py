"""Answers of backends that speak Messages, for clients that do: what is judged, what arrives."""

from __future__ import annotations

import orjson
from anthropic_events import events_of
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, delta, finish, stream

from airouter.dialects.anthropic_answer import EventsIn, WholeIn
from airouter.dialects.messages import Messages
from airouter.dialects.openai_answer import Answer
from tests.native_messages import BLOCKS, HEAD, Json, native, stream_of


def through(given: bytes, size: int = 10**6) -> tuple[bytes, Answer]:
    """What the client gets of a stream that comes in pieces of a size, and how it is judged."""
    reader, answer = EventsIn(native=True), Answer("b", "chat", stream=True, keep_usage=True)
    writer, out = Messages("1f", "m").writer(stream=True), b""
    for at in range(0, len(given), size):
        answer.feed(reader.feed(given[at : at + size]))
        out += writer.feed(answer.drain())
    answer.end()
    return out + writer.feed(answer.drain()) + writer.feed(stream(DONE)), answer


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6), st.integers(1, 400))
@settings(max_examples=80, deadline=None)
def test_a_stream_arrives_byte_for_byte(blocks: list[tuple[Json, list[Json]]], size: int) -> None:
    """And is judged as a chat completion's is."""
    given = stream_of(blocks)
    passed, answer = through(given, size)
    assert passed == given
    assert (answer.finish_reason, answer.model) == ("tool_calls", "claude")
    assert answer.usage is not None
    assert answer.usage["completion_tokens"] == 7
    texts = [d["text"] for _, deltas in blocks for d in deltas if d["type"] == "text_delta"]
    assert answer.text == "".join(texts)
    cites = any(delta["type"] == "citations_delta" for _, deltas in blocks for delta in deltas)
    only = {block["type"] for block, _ in blocks} <= {"text", "thinking"}
    assert answer.state.plain == (only and not cites)


def test_what_is_only_said_in_blanks_and_lines() -> None:
    """JSON with blanks, and in several lines of data, arrives as one."""
    passed, _ = through(
        stream_of(BLOCKS[:2]).replace(b'{"type":"ping"}', b'{"type":\ndata: "ping"}')
    )
    assert [one["type"] for one in events_of(passed)][1] == "ping"


def test_a_cut_stream_can_be_continued_in_openais_format() -> None:
    """In the block that is open, which its end closes."""
    whole = stream_of(BLOCKS[:2], "end_turn")
    cut = whole[: whole.index(b"event: content_block_stop", whole.index(b"Hel"))]
    reader, writer = EventsIn(native=True), Messages("1f", "m").writer(stream=True)
    rest = stream(delta("!"), finish(), DONE)
    events = events_of(writer.feed(reader.feed(cut)) + writer.feed(rest))
    assert events[-4]["delta"] == {"type": "text_delta", "text": "!"}
    assert [(one["type"], one.get("index")) for one in events[-4:]] == [
        ("content_block_delta", 1), ("content_block_stop", 1), ("message_delta", None),
        ("message_stop", None),
    ]  # fmt: skip
    assert [one["type"] for one in events].count("message_start") == 1


def test_a_whole_answer_arrives_byte_for_byte() -> None:
    blocks = [{**BLOCKS[0][0], "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Hi"},
              BLOCKS[2][0]]  # fmt: skip
    raw = b" " + orjson.dumps({**HEAD, "content": blocks, "stop_reason": "end_turn"}) + b"\n"
    reader, answer = WholeIn(native=True), Answer("b", "chat", stream=False)
    answer.feed(reader.feed(raw) + reader.flush())
    answer.end()
    assert answer.problem({}) is None
    assert answer.text == "Hi"
    writer = Messages("1f", "m").writer(stream=False)
    assert writer.feed(answer.raw) + writer.flush() == raw


def test_a_message_of_what_chats_do_not_know_is_an_answer() -> None:
    reader, answer = WholeIn(native=True), Answer("b", "chat", stream=False)
    raw = orjson.dumps({**HEAD, "content": [BLOCKS[2][0]], "stop_reason": "pause_turn"})
    answer.feed(reader.feed(raw) + reader.flush())
    answer.end()
    assert answer.problem({}) is None


def test_errors_are_the_routers() -> None:
    """They are judged, and told in the router's words."""
    failed = native({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}})
    reader, answer = EventsIn(native=True), Answer("b", "chat", stream=True, keep_usage=True)
    answer.feed(reader.feed(native({"type": "message_start", "message": HEAD}) + failed))
    assert answer.begun
    assert answer.problem({}) is not None
