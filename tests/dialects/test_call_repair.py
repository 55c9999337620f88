"""Tool calls that arrive as text are repaired, and nothing else is touched: whole answers and
streams, however they are cut into events."""

from __future__ import annotations

import random
from typing import Any

import pytest

from airouter.dialects.call_repair import StreamRepair, repair_for, repaired
from airouter.dialects.openai_stream import SseReader
from tests.dialects.written_calls import (
    CALL,
    ORDINARY,
    SHAPES,
    TOOLS,
    called,
    event_of,
    events_of,
    expected,
    read,
    repair,
    streamed,
)

Json = dict[str, Any]


def whole(text: str, reason: str = "stop", **fields: Any) -> tuple[Json, int] | None:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return repaired({"id": "c", "choices": [choice]}, repair(**fields))


@pytest.mark.parametrize("tools", [True, 3, "f", {"a": 1}, [], [None], [{"function": 3}]])
def test_what_lists_no_functions_has_nothing_to_repair(tools: Any) -> None:
    """Such as a request for embeddings, whose tools nobody checks."""
    assert repair_for({"input": "x", "tools": tools}) is None


def cuts_of(text: str, seed: int) -> list[list[int]]:
    """Once at every position, in single characters, and at random."""
    chance, last = random.Random(seed), len(text)
    several = [
        sorted(chance.sample(range(1, last), chance.randint(1, min(last - 1, 30))))
        for _ in range(40 if last > 2 else 0)
    ]
    return [[at] for at in range(1, last)] + [list(range(1, last)), *several]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_repaired_in_whole_answers(shape: str) -> None:
    found = whole(SHAPES[shape])
    assert found is not None
    payload, count = found
    choice = payload["choices"][0]
    assert called(choice["message"]) == expected(shape)
    assert (choice["finish_reason"], count) == ("tool_calls", len(expected(shape)))
    before = {"behind prose": "Let me look.", "behind a thought": "<think>"}.get(shape)
    said = choice["message"]["content"]
    assert said is None if before is None else said.startswith(before)
    ids = [call["id"] for call in choice["message"]["tool_calls"]]
    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert len({*ids}) == len(ids)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_repaired_in_streams(shape: str) -> None:
    found = whole(SHAPES[shape])
    assert found is not None
    said = found[0]["choices"][0]["message"]["content"] or ""
    for cuts in cuts_of(SHAPES[shape], 1):
        sent, count = streamed(SHAPES[shape], cuts)
        text, calls, reasons = read(sent)
        assert calls == expected(shape), cuts
        assert (text.rstrip(), reasons, count) == (said, ["tool_calls"], len(calls)), cuts


def test_ordinary_answers_are_not_altered() -> None:
    assert len({*ORDINARY}) >= 200
    assert [text for text in ORDINARY if whole(text) is not None] == []


@pytest.mark.parametrize("number", range(len(ORDINARY)))
def test_ordinary_streams_pass_byte_for_byte(number: int) -> None:
    text = ORDINARY[number]
    for cuts in cuts_of(text, number)[:: 1 + len(text) // 100]:
        sent, count = streamed(text, cuts)
        assert sent == b"".join(event for event, _ in events_of(text, cuts)), cuts
        assert count == 0


def test_streams_are_repaired_where_whole_answers_are() -> None:
    """Whatever marks, brackets and texts they are made of, and however they are cut."""
    chance = random.Random(7)
    marks = [
        "```",
        "```json\n",
        "`",
        "\n",
        " ",
        "text ",
        *"{}[]\"',:<>",
        "<think>",
        "</think>",
        CALL,
    ]
    marks += [
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "<function=",
        "<|eom_id|>",
        "get_weather",
    ]
    repairs = 0
    for _ in range(1500):
        parts = [*marks, *chance.sample([*SHAPES.values()], 9)]
        text = "".join(chance.choice(parts) for _ in range(chance.randint(1, 7)))
        cuts = sorted(chance.sample(range(len(text)), min(len(text), chance.randint(0, 12))))
        found, (sent, count) = whole(text), streamed(text, cuts)
        if found is None:
            assert sent == b"".join(event for event, _ in events_of(text, cuts)), (text, cuts)
            continue
        message = found[0]["choices"][0]["message"]
        said, calls, reasons = read(sent)
        assert (calls, reasons, count) == (called(message), ["tool_calls"], found[1]), (text, cuts)
        assert said.rstrip() == (message["content"] or ""), (text, cuts)
        repairs += 1
    assert repairs > 100


def test_little_of_an_ordinary_stream_is_held_back() -> None:
    """In single characters: nearly all pass at once, and few for long."""
    held = total = 0
    for text in ORDINARY:
        stream = StreamRepair(repair())
        for event, chunk in events_of(text, range(1, len(text))):
            held += not stream.event(event, chunk)
            total += 1
    assert held < total / 4, f"{held} of {total} events"  # most are about calls


def test_text_before_a_call_passes_at_once() -> None:
    stream = StreamRepair(repair())
    for piece in ("Let me ", "look at < and [", "that.\n\n"):
        event, chunk = event_of({"content": piece})
        passed = stream.event(event, chunk)
        assert passed.endswith(event) or piece.endswith("[")
    assert stream.event(*event_of({"content": "<tool"})) == b""
    _, calls, reasons = read(stream.event(*event_of({"content": f"_call>{CALL}"}, "stop")))
    assert (calls, reasons) == (expected(""), ["tool_calls"])


def test_what_turns_out_to_be_none_is_released_at_once() -> None:
    stream = StreamRepair(repair())
    first, second = event_of({"content": "<tool_call>"}), event_of({"content": "{"})
    assert stream.event(*first) + stream.event(*second) == b""
    third = event_of({"content": '"title'})
    assert stream.event(*third) == b""
    fourth = event_of({"content": '": '})
    assert stream.event(*fourth) == first[0] + second[0] + third[0] + fourth[0]


def test_a_call_that_text_follows_is_none() -> None:
    stream = StreamRepair(repair())
    call, text = event_of({"content": f"<tool_call>{CALL}</tool_call>"}), event_of({"content": "!"})
    assert stream.event(*call) == b""
    assert stream.event(*text) == call[0] + text[0]


@pytest.mark.parametrize("shape", ["Hermes", "Llama, bare", "Qwen3-Coder"])
def test_an_answer_cut_at_its_limit_is_repaired_only_where_it_is_whole(shape: str) -> None:
    text = SHAPES[shape]
    assert whole(text, "length") is not None
    for end in range(1, text.index("Paris") + 5):
        assert whole(text[:end], "length") is None
        assert whole(text[:end]) is None, "a call with half of its arguments"
    assert whole(SHAPES["cut before the brackets"], "length") is None
    sent, count = streamed(SHAPES["cut before the brackets"], [5, 20], "length")
    assert (read(sent)[0], count) == (SHAPES["cut before the brackets"], 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None},
        {"tools": TOOLS, "tool_choice": "none"},
        {"tools": TOOLS, "n": 2},
        {"tools": [{"type": "function"}, "x"]},
    ],
)
def test_requests_that_nothing_is_looked_for(fields: Json) -> None:
    assert repair_for(fields) is None


def test_json_that_was_asked_for_is_no_call() -> None:
    wanted = {"type": "json_object"}
    assert whole(CALL, response_format=wanted) is None
    assert whole(CALL, response_format={"type": "text"}) is not None
    assert whole(f"<tool_call>{CALL}</tool_call>", response_format=wanted) is not None


def test_answers_with_calls_need_no_repair() -> None:
    message = {"content": CALL, "tool_calls": [{"id": "x"}]}
    assert repaired({"choices": [{"message": message}]}, repair()) is None
    stream = StreamRepair(repair())
    held = event_of({"content": "<tool_call>"})
    real = event_of({"tool_calls": [{"index": 0, "id": "x"}]})
    assert stream.event(*held) == b""
    assert stream.event(*real) == held[0] + real[0]


@pytest.mark.parametrize("content", [None, "", [{"type": "text", "text": CALL}], 3])
def test_content_that_is_no_text(content: Any) -> None:
    assert repaired({"choices": [{"message": {"content": content}}]}, repair()) is None
    event, chunk = event_of({"content": content})
    assert StreamRepair(repair()).event(event, chunk) == event
    assert repaired({"choices": None}, repair()) is None


def test_reasoning_and_role_stay_where_they_are() -> None:
    stream = StreamRepair(repair())
    first = event_of({"role": "assistant", "content": "Well. <tool_call>"})
    thought = event_of({"reasoning_content": "Hm"})
    assert stream.event(*first) + stream.event(*thought) == b""
    sent = stream.event(*event_of({"content": CALL}, "stop"))
    assert read(sent)[:2] == ("Well.", expected(""))
    assert thought[0] in sent
    assert b'"role":"assistant"' in sent.split(b"\n\n")[0]


def test_a_reader_notes_the_repair() -> None:
    """Before [DONE] where there was no finish_reason; a cut stream gets its text as it was."""
    stream = StreamRepair(repair())
    reader = SseReader(keep_usage=True, choices=1, repair=stream)
    text = event_of({"content": f"<tool_call>{CALL}</tool_call>"})[0]
    assert reader.feed(text) == b""
    _, calls, reasons = read(reader.feed(b"data: [DONE]\n\n"))
    assert (calls, reasons) == (expected(""), ["tool_calls"])
    assert (reader.state.finish_reasons, reader.state.plain) == ({0: "tool_calls"}, False)
    assert reader.state.complete
    cut = SseReader(keep_usage=True, choices=1, repair=StreamRepair(repair()))
    assert cut.feed(text) == b""
    assert cut.release() == text


def test_an_unreadable_event_ends_the_watch() -> None:
    reader = SseReader(keep_usage=True, choices=1, repair=StreamRepair(repair()))
    text = event_of({"content": "<tool_call>"})[0]
    assert reader.feed(text + b'data: {"choices": [{"del\n\n') == text
    assert reader.feed(text) == text


def test_the_usual_events_of_a_stream_are_still_recognised() -> None:
    """The short cut for events that differ in their text alone is taken, and watched."""
    reader = SseReader(keep_usage=True, choices=1, repair=StreamRepair(repair()))
    for _ in range(3):
        assert reader.feed(event_of({"content": "text "})[0])
    assert reader.more_text
    assert reader.feed(event_of({"content": "<tool_"})[0]) == b""
    assert not reader.more_text
    assert reader.feed(event_of({"content": "box>"})[0])
    assert reader.state.text == "text text text <tool_box>"


def test_arguments_are_valid_json() -> None:
    found = whole('<tool_call>{"name": "search", "arguments": {"query": "\\ud83d\\ude00"}}')
    assert found is not None
    assert called(found[0]["choices"][0]["message"]) == [("search", {"query": "😀"})]
    assert whole('<tool_call>{"name": "search", "arguments": {"query": NaN}}</tool_call>') is None


def test_what_only_the_original_says_is_not_lost() -> None:
    """Blocks of Anthropic's API that a chat completion cannot express."""
    message = {"role": "assistant", "content": SHAPES["Hermes"], "original": "server_tool_use"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    payload = {"id": "c", "original": "{}", "choices": [choice]}
    assert repaired(payload, repair()) is None
    del message["original"]
    found = repaired(payload, repair())
    assert found is not None
    assert "original" not in found[0]
