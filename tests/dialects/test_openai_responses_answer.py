"""Answers in the format of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from streams import DONE, delta, event, finish, role, stream, usage
from test_messages_answer import called, chunk, ending

from airouter.dialects import blocks
from airouter.dialects.openai_responses import Responses, opening
from airouter.dialects.openai_responses_tools import Called, Names
from tests.responses_events import events_of, response_of

Json = dict[str, Any]


def dialect(done: Any = None, **payload: Any) -> Responses:
    names = Names()
    for one in (
        Called("run", None, True),
        Called("spawn", "agents"),
        Called("ask", "agents", True),
    ):
        names.add(one)
    return Responses("1f", opening("1f", 7, payload, "m", store=False), names, [], done)


def streamed(*events: bytes, at_once: bool = False, done: Any = None) -> bytes:
    writer = dialect(done).writer(stream=True)
    pieces = [stream(*events)] if at_once else [stream(one) for one in events]
    return b"".join(map(writer.feed, pieces)) + writer.flush()


def whole(payload: Json, done: Any = None) -> Json:
    writer = dialect(done).writer(stream=False)
    assert writer.feed(orjson.dumps(payload)) == b""
    answer: Json = json.loads(writer.flush())
    return answer


def completion(reason: str = "stop", **said: Any) -> Json:
    return {"choices": [{"index": 0, "message": said, "finish_reason": reason}]}


def output_of(data: bytes) -> list[Json]:
    output: list[Json] = response_of(data)["output"]
    return output


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stream(at_once: bool) -> None:
    """Text as it was, its counts, its name and id."""
    texts = ["It", " is", ' "漢"\n', "\\ud83d\u2028", "."]
    events = [role(), *map(delta, texts), b": ping", finish(), usage(), DONE]
    response = response_of(streamed(*events, at_once=at_once))
    part = {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": []}
    assert response["output"] == [
        {"id": "msg_1f_0", "type": "message", "role": "assistant", "status": "completed",
         "content": [part]},
    ]  # fmt: skip
    assert (response["id"], response["model"], response["created_at"]) == ("resp_1f", "m", 7)
    assert (response["status"], response["error"]) == ("completed", None)
    assert response["usage"]["total_tokens"] == 3


def test_text_is_neither_parsed_nor_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is known what the chunks have in common."""
    parsed: list[bytes] = []

    def noting(raw: bytes, *_: Any) -> Any:
        parsed.append(raw)
        return orjson.loads(raw)

    monkeypatch.setattr(blocks, "lenient", noting)
    texts = [delta(f"t{i}") for i in range(20)]
    data = streamed(role(), *texts, finish(), usage(), DONE)
    assert (len(events_of(data)), len(parsed)) == (28, 4)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning(field: str) -> None:
    """An item before the text, with the text as it is."""
    thoughts = [chunk(**{field: text}) for text in ("Hm", "m", "m")]
    output = output_of(streamed(role(), *thoughts, delta("Yes."), finish(), DONE))
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "Hmmm"}]
    assert (output[0]["summary"], output[0]["id"]) == ([], "rs_1f_0")
    answer = whole(completion(content="Yes.", **{field: "Hmmm"}))
    assert answer["output"] == output


def test_parallel_calls() -> None:
    """Items one after the other, called as the client calls them."""
    parts = [
        role(), delta("I look."), called(0, "", "a", "x"), called(0, '{"city": "Bo'),
        called(0, 'nn"}'), called(1, "{}", "agents__spawn", "y"), ending("tool_calls"), DONE,
    ]  # fmt: skip
    output = output_of(streamed(*parts))
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    assert output[1] == {
        "id": "fc_1f_1", "type": "function_call", "status": "completed", "call_id": "x",
        "name": "a", "arguments": '{"city": "Bonn"}',
    }  # fmt: skip
    assert (output[2]["namespace"], output[2]["name"]) == ("agents", "spawn")


def test_custom_tools() -> None:
    """Their input comes as it is written, without its JSON."""
    parts = [
        called(0, "", "run", "x"), called(0, '{"input": "ls'), called(0, " -l\\"), called(0, 'n"'),
        called(0, "}"), called(1, "", "agents__ask"), called(1, "bare"), DONE,
    ]  # fmt: skip
    data = streamed(*parts)
    output = output_of(data)
    assert output == [
        {"id": "ctc_1f_0", "type": "custom_tool_call", "status": "completed", "call_id": "x",
         "name": "run", "input": "ls -l\n"},
        {"id": "ctc_1f_1", "type": "custom_tool_call", "status": "completed",
         "call_id": "call_1f_1", "name": "ask", "namespace": "agents", "input": "bare"},
    ]  # fmt: skip
    deltas = [one["delta"] for one in events_of(data) if one["type"].endswith("input.delta")]
    assert deltas == ["ls", " -l", "\n", "bare"]


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_it_ended(reason: str, status: str, why: str | None) -> None:
    """The last item says it, too."""
    kept: list[Json] = []
    response = response_of(streamed(delta("a"), ending(reason), DONE, done=kept.append))
    answer = whole(completion(reason, content="a"), kept.append)
    for one in (response, answer):
        assert (one["status"], one["output"][-1]["status"]) == (status, status)
        assert one["incomplete_details"] == (why and {"reason": why})
    assert kept == [response, answer]


def test_a_refusal_is_a_part_of_its_own() -> None:
    data = streamed(chunk(refusal="I will"), chunk(refusal=" not."), finish(), DONE)
    refusal = [{"type": "refusal", "refusal": "I will not."}]
    assert output_of(data)[0]["content"] == refusal
    assert whole(completion(refusal="I will not."))["output"][0]["content"] == refusal


def test_counts() -> None:
    counts = {
        "prompt_tokens": 90, "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    expected = {
        "input_tokens": 90,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 94,
    }  # fmt: skip
    assert whole({**completion(content="a"), "usage": counts})["usage"] == expected
    last = event(choices=[], usage=counts)
    assert response_of(streamed(delta("a"), finish(), last, DONE))["usage"] == expected
    assert whole(completion(content="a"))["usage"] is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "upstream_error", "code": "c"}, "server_error"),
        ({"type": "rate_limit_error", "code": "rate_limit_exceeded"}, "rate_limit_exceeded"),
        ({"type": "invalid_request_error", "code": 400}, "invalid_prompt"),
    ],
)
def test_an_error_ends_a_stream(error: Json, code: str) -> None:
    """As a response that failed, with what had come; nothing follows."""
    broken = event(error={"message": "It broke.", **error})
    kept: list[Json] = []
    data = streamed(role(), delta("a"), broken, DONE, done=kept.append)
    response = response_of(data, cut=True)
    assert response["error"] == {"code": code, "message": "It broke."}
    assert response["output"][0]["content"][0]["text"] == "a"
    assert response["output"][0]["status"] == "incomplete"
    alone = response_of(streamed(broken, DONE), cut=True)
    assert (alone["status"], alone["output"], kept) == ("failed", [], [])


def test_a_prompt_that_is_too_long() -> None:
    """Has the code for which clients compact the conversation, though the library has none."""
    broken = stream(event(error={"message": "Long.", "code": "context_length_exceeded"}))
    last = dialect().writer(stream=True).feed(broken).split(b"data: ")[-1]
    assert json.loads(last)["response"]["error"]["code"] == "context_length_exceeded"


def test_the_request_is_repeated() -> None:
    tools = [{"type": "function", "name": "a", "parameters": {}, "strict": None}]
    response = opening("1f", 7, {"tools": tools, "temperature": 0, "user": "u"}, "m", store=True)
    assert (response["tools"], response["temperature"], response["user"]) == (tools, 0, "u")
    assert (response["tool_choice"], response["truncation"]) == ("auto", "disabled")
    assert (response["store"], response["metadata"], response["background"]) == (True, {}, False)
