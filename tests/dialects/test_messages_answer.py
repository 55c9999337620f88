"""Answers in the format of Anthropic's Messages API."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from anthropic_events import events_of, message_of
from streams import DONE, delta, event, finish, role, stream, usage

from airouter.dialects import messages_stream
from airouter.dialects.messages import Messages

Json = dict[str, Any]


def streamed(*events: bytes, at_once: bool = False, **how: Any) -> bytes:
    writer = Messages("1f", "claude", **{"thinks": True, **how}).writer(stream=True)
    pieces = [stream(*events)] if at_once else [stream(one) for one in events]
    return b"".join(map(writer.feed, pieces)) + writer.flush()


def whole(payload: Json, **how: Any) -> Json:
    writer = Messages("1f", "claude", **{"thinks": True, **how}).writer(stream=False)
    assert writer.feed(orjson.dumps(payload)) == b""
    answer: Json = json.loads(writer.flush())
    return answer


def chunk(**said: Any) -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": said}])


def ending(reason: str, **more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": reason, **more}])


def called(index: int | None, arguments: str, name: str = "", id: str = "") -> bytes:
    function: Json = {"arguments": arguments, **({"name": name} if name else {})}
    call = {"function": function, **({"id": id} if id else {})}
    return chunk(tool_calls=[call if index is None else {"index": index, **call}])


def blocks_of(data: bytes) -> list[Json]:
    blocks: list[Json] = message_of(data)["content"]
    return blocks


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stream(at_once: bool) -> None:
    """Text as it was, its counts, its name and id."""
    texts = ["It", " is", ' "漢"\n', "\\ud83d\u2028", "."]
    events = [role(), *map(delta, texts), b": ping", finish(), usage(), DONE]
    message = message_of(streamed(*events, at_once=at_once))
    assert message["content"] == [{"type": "text", "text": "".join(texts)}]
    assert (message["id"], message["model"], message["type"]) == ("msg_1f", "claude", "message")
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (1, 2)


def test_text_is_neither_parsed_nor_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is known what the chunks have in common."""
    parsed: list[bytes] = []

    def noting(raw: bytes, *_: Any) -> Any:
        parsed.append(raw)
        return orjson.loads(raw)

    monkeypatch.setattr(messages_stream, "lenient", noting)
    texts = [delta(f"t{i}") for i in range(20)]
    for at_once in (False, True):
        parsed.clear()
        data = streamed(role(), *texts, finish(), usage(), DONE, at_once=at_once)
        assert (len(events_of(data)), len(parsed)) == (26, 4)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning(field: str) -> None:
    """A block before the text; none for one who does not want it."""
    thoughts = [chunk(**{field: text}) for text in ("Hm", "m", "m")]
    events = [role(), *thoughts, delta("Y"), delta("es"), delta("."), finish(), DONE]
    thought = {"type": "thinking", "thinking": "Hmmm", "signature": ""}
    assert blocks_of(streamed(*events)) == [thought, {"type": "text", "text": "Yes."}]
    assert blocks_of(streamed(*events, thinks=False)) == [{"type": "text", "text": "Yes."}]
    said = {"role": "assistant", "content": "Yes.", field: "Hmmm"}
    payload = {"choices": [{"message": said, "finish_reason": "stop"}]}
    assert whole(payload)["content"] == [thought, {"type": "text", "text": "Yes."}]
    assert len(whole(payload, thinks=False)["content"]) == 1


def test_parallel_calls_are_blocks_one_after_the_other() -> None:
    """The first ends when its arguments are whole; then the next is sent as it comes."""
    parts = [
        role(), delta("I look."), called(0, "", "a", "x"), called(0, '{"city": "Bo'),
        called(0, 'nn"}'), called(1, "", "b", "y"), called(1, "{}"), ending("tool_calls"), DONE,
    ]  # fmt: skip
    message = message_of(streamed(*parts))
    assert message["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "x", "name": "a", "input": {"city": "Bonn"}},
        {"type": "tool_use", "id": "y", "name": "b", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"
    so_far = events_of(streamed(*parts[:6]))
    assert [so_far[-1]["type"], so_far[-2]["type"]] == ["content_block_start", "content_block_stop"]


def test_calls_whose_pieces_alternate() -> None:
    """What belongs to a later block waits; nothing is lost."""
    parts = [
        called(0, "", "a", "x"), called(1, "", "b", "y"), called(0, '{"n": '),
        called(1, '{"m": 1'), delta("so"), called(0, "1}"), called(1, "}"), delta("!"), DONE,
    ]  # fmt: skip
    inputs = [block.get("input", block.get("text")) for block in blocks_of(streamed(*parts))]
    assert inputs == [{"n": 1}, {"m": 1}, "so!"]


def test_calls_without_an_index_or_an_id() -> None:
    parts = [
        called(None, "{", "a"), called(None, "}"), called(None, "{}", "b"), ending("stop"), DONE
    ]  # fmt: skip
    message = message_of(streamed(*parts))
    assert [(b["name"], b["id"]) for b in message["content"]] == [
        ("a", "toolu_1f_0"), ("b", "toolu_1f_1")
    ]  # fmt: skip
    assert message["stop_reason"] == "tool_use"


def test_arguments_that_are_none_are_the_clients_to_judge() -> None:
    function = {"name": "a", "arguments": "[1"}
    payload = {"choices": [{"message": {"tool_calls": [{"id": "x", "function": function}]}}]}
    assert whole(payload)["content"][0]["input"] == {"invalid_arguments": "[1"}


@pytest.mark.parametrize(
    ("reason", "more", "expected"),
    [
        ("stop", {}, ("end_turn", None)),
        ("length", {}, ("max_tokens", None)),
        ("content_filter", {}, ("refusal", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"matched_stop": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 151645}, ("end_turn", None)),
        ("stop", {"stop_reason": None}, ("end_turn", None)),
    ],
)
def test_why_it_ended(reason: str, more: Json, expected: tuple[str, str | None]) -> None:
    message = message_of(streamed(delta("a"), ending(reason, **more), DONE, stops=("END",)))
    assert (message["stop_reason"], message["stop_sequence"]) == expected
    choice = {"message": {"content": "a"}, "finish_reason": reason, **more}
    answer = whole({"choices": [choice]}, stops=("END",))
    assert (answer["stop_reason"], answer["stop_sequence"]) == expected


def test_a_refusal_is_text() -> None:
    message = message_of(streamed(chunk(refusal="I will"), chunk(refusal=" not."), finish(), DONE))
    assert message["content"] == [{"type": "text", "text": "I will not."}]
    assert message["stop_reason"] == "refusal"


def test_cached_tokens_are_counted_apart() -> None:
    counts = {"prompt_tokens": 90, "completion_tokens": 4,
              "prompt_tokens_details": {"cached_tokens": 64}}  # fmt: skip
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    expected = {
        "input_tokens": 26, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 64,
        "output_tokens": 4,
    }  # fmt: skip
    assert whole({"choices": [choice], "usage": counts})["usage"] == expected
    last = event(choices=[], usage=counts)
    assert message_of(streamed(delta("a"), finish(), last, DONE))["usage"] == expected


def test_an_error_ends_a_stream() -> None:
    """As an event of its own; nothing follows."""
    broken = event(error={"message": "It broke.", "type": "upstream_error", "code": "c"})
    last = events_of(streamed(role(), delta("a"), broken, DONE))[-1]
    assert last == {
        "type": "error", "error": {"type": "api_error", "message": "It broke."},
        "request_id": "req_1f",
    }  # fmt: skip
    assert len(events_of(streamed(broken, DONE))) == 1
