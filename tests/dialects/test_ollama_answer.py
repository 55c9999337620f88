"""Answers in OpenAI's format, and what an Ollama client reads."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from doubles import FakeClock

from airouter.dialects import ollama_answer
from airouter.dialects.ollama import Form, Ollama
from airouter.domain.errors import UpstreamBroken
from tests.dialects.streams import DONE, delta, event, finish, role, stream, usage

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def lines_of(
    *events: bytes, form: Form = "chat", thinks: bool = True, at_once: bool = False
) -> list[dict[str, Any]]:
    """The lines of a stream whose events come half a second apart."""
    clock = FakeClock()
    writer = Ollama(form, clock, clock.monotonic(), thinks).writer(stream=True)
    out = b""
    for one in [stream(*events)] if at_once else map(stream, events):
        clock.move(0.5)
        out += writer.feed(one)
    out += writer.flush()
    assert out == b"" or out.endswith(b"\n")
    return [json.loads(line) for line in out.splitlines()]


def whole_of(payload: dict[str, Any], form: Form = "chat", thinks: bool = True) -> dict[str, Any]:
    clock = FakeClock()
    writer = Ollama(form, clock, clock.monotonic(), thinks).writer(stream=False)
    clock.move(2)
    assert writer.feed(orjson.dumps(payload)) == b""
    answer: dict[str, Any] = json.loads(writer.flush())
    return answer


def thought(text: str, field: str = "reasoning_content") -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": {field: text}}])


def called(*parts: dict[str, Any]) -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": {"tool_calls": list(parts)}}])


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stream(at_once: bool) -> None:
    """A line for each piece, with text as it was; the last has the reason, counts and times."""
    texts = ["It", " is", ' "漢"\n', "\\ud83d\u2028", "."]
    events = [role(), *map(delta, texts), b": ping", finish(), usage(), DONE]
    *pieces, last = lines_of(*events, at_once=at_once)
    assert [piece["message"]["content"] for piece in pieces] == texts
    assert {piece["model"] for piece in pieces} == {"m"}
    assert not any(piece["done"] for piece in pieces)
    assert (last["done"], last["done_reason"], last["model"]) == (True, "stop", "m")
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["prompt_eval_count"], last["eval_count"]) == (1, 2)
    if not at_once:  # the first text is the second event, the end the tenth
        assert pieces[0]["created_at"] == "2026-03-01T12:30:46.000000Z"
        assert (last["total_duration"], last["prompt_eval_duration"]) == (5_000_000_000, 10**9)
        assert (last["eval_duration"], last["load_duration"]) == (4_000_000_000, 0)


def test_text_is_neither_parsed_nor_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is known what the events have in common."""
    parsed: list[bytes] = []

    def noting(raw: bytes, *_: Any) -> Any:
        parsed.append(raw)
        return orjson.loads(raw)

    monkeypatch.setattr(ollama_answer, "lenient", noting)
    texts = [delta(f"t{i}") for i in range(20)]
    for at_once in (False, True):
        parsed.clear()
        lines = lines_of(role(), *texts, finish(), usage(), DONE, at_once=at_once)
        assert (len(lines), len(parsed)) == (21, 4)
    parsed.clear()
    thoughts = [thought(f"t{i}") for i in range(20)]
    assert len(lines_of(*thoughts, *texts, finish(), DONE, thinks=False)) == 21
    assert len(parsed) == 3


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning(field: str) -> None:
    """Apart from the content, in either form; not shown to one who does not want it."""
    events = [role(), thought("Hm", field), thought("m", field), delta("Yes"), finish(), DONE]
    lines = lines_of(*events)
    assert [line["message"].get("thinking") for line in lines] == ["Hm", "m", None, None]
    assert [line["message"]["content"] for line in lines] == ["", "", "Yes", ""]
    generated = lines_of(*events, form="generate")
    assert [(line["response"], line.get("thinking")) for line in generated][:3] == [
        ("", "Hm"), ("", "m"), ("Yes", None)
    ]  # fmt: skip
    assert len(lines_of(*events, thinks=False)) == 2
    message = {"role": "assistant", "content": "Yes", field: "Hmm"}
    payload = {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    assert whole_of(payload)["message"]["thinking"] == "Hmm"
    assert whole_of(payload, "generate")["thinking"] == "Hmm"
    assert "thinking" not in whole_of(payload, thinks=False)["message"]


def test_tool_calls_are_assembled() -> None:
    """From their pieces, into one line before the last; their arguments are objects."""
    lines = lines_of(
        role(),
        delta("I look."),
        called({"index": 0, "id": "x", "function": {"name": "a", "arguments": ""}}),
        called({"index": 0, "function": {"arguments": '{"city": "Bo'}}),
        called({"index": 0, "function": {"arguments": 'nn"}'}},
               {"index": 1, "id": "y", "function": {"name": "b", "arguments": ""}}),
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
        DONE,
    )  # fmt: skip
    assert [call["function"] for call in lines[1]["message"]["tool_calls"]] == [
        {"index": 0, "name": "a", "arguments": {"city": "Bonn"}},
        {"index": 1, "name": "b", "arguments": {}},
    ]
    assert (lines[2]["done"], lines[2]["done_reason"], len(lines)) == (True, "stop", 3)


def test_arguments_that_are_none_are_an_error() -> None:
    function = {"name": "a", "arguments": "[1"}
    lines = lines_of(called({"index": 0, "id": "x", "function": function}), finish(), DONE)
    assert len(lines) == 1
    assert "not a JSON object" in lines[0]["error"]
    message = {"content": None, "tool_calls": [{"id": "x", "function": function}]}
    with pytest.raises(UpstreamBroken):
        whole_of({"choices": [{"message": message}]})


def test_an_error_ends_a_stream() -> None:
    """As a line with the sentence alone; nothing follows."""
    broken = event(error={"message": "It broke.", "type": "t", "param": None, "code": "c"})
    assert lines_of(role(), delta("a"), broken, DONE)[1:] == [{"error": "It broke."}]


def test_whole_answers() -> None:
    said = {"content": "Hi", "tool_calls": [{"function": {"name": "a", "arguments": '{"b": 1}'}}]}
    choice = {"message": said, "finish_reason": "length", "logprobs": {"content": [{"token": "H"}]}}
    answer = whole_of({"model": "m", "choices": [choice], "usage": USAGE})
    assert answer["message"]["tool_calls"][0]["function"]["arguments"] == {"b": 1}
    assert (answer["message"]["content"], answer["done_reason"]) == ("Hi", "length")
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (3, 4)
    assert (answer["total_duration"], answer["logprobs"]) == (2_000_000_000, [{"token": "H"}])
    text = whole_of({"model": "m", "choices": [{"text": "Hi", "finish_reason": "stop"}]}, "raw")
    assert (text["response"], text["done"], "eval_count" in text) == ("Hi", True, False)


def test_a_text_completions_stream_with_log_probabilities() -> None:
    pieces = [event(model="m", choices=[{"index": 0, "text": text}]) for text in ("a", "b")]
    lines = lines_of(*pieces, finish(), DONE, form="raw")
    assert [line["response"] for line in lines] == ["a", "b", ""]
    late = lines_of(event(choices=[{"text": "a"}]), *pieces, DONE, form="raw", at_once=True)
    assert [line["model"] for line in late] == ["", "m", "m", "m"]
    logged = lines_of(delta("a", logprobs={"content": [{"token": "a"}]}), finish(), DONE)
    assert logged[0]["logprobs"] == [{"token": "a"}]


def test_embeddings() -> None:
    """In the order of their indices."""
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    answer = whole_of({"model": "m", "data": data, "usage": {"prompt_tokens": 5}}, "embed")
    assert (answer["embeddings"], answer["prompt_eval_count"]) == ([[1.0], [2.0]], 5)
    assert whole_of({"data": data}, "embeddings") == {"embedding": [1.0]}
