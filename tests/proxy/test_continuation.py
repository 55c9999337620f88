"""When a cut answer may be continued, what is asked for, and how the rest is made to fit."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_compose import Outgoing
from airouter.dialects.openai_request import ChatRequest
from airouter.dialects.openai_stream import SseReader, StreamState
from airouter.domain.errors import UpstreamBroken, UpstreamTimeout
from airouter.proxy.continuation import (
    can_continue,
    continued,
    read_count,
    rewriter,
    same_backend_first,
)


def request(**fields: Any) -> ChatRequest:
    messages = fields.pop("messages", [{"role": "user", "content": "Hello"}])
    return ChatRequest("chat", {"messages": messages, "stream": True, **fields})


def state(*deltas: dict[str, Any], done: bool = False, finish: str | None = None) -> StreamState:
    return reader_of(*deltas, done=done, finish=finish).state


def reader_of(*deltas: dict[str, Any], done: bool = False, finish: str | None = None) -> SseReader:
    reader = SseReader(keep_usage=False, keep_text=100, choices=1)
    for delta in deltas:
        reader.feed(
            b"data: "
            + orjson.dumps({"id": "one", "choices": [{"index": 0, "delta": delta}]})
            + b"\n\n"
        )
    if finish:
        reader.feed(
            b"data: "
            + orjson.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            + b"\n\n"
        )
    if done:
        reader.feed(b"data: [DONE]\n\n")
    return reader


HELLO = {"content": "Hello wor"}


def test_a_plain_answer_can_be_continued() -> None:
    """One choice of plain text, all of it remembered: that is sound."""
    assert can_continue(request(), state({"role": "assistant"}, HELLO), "Hello wor")
    assert can_continue(request(), state({"reasoning_content": "Hm."}, HELLO), "Hello wor")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function"}]},
        {"functions": [{}]},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"choice": ["a"]}},
        {"guided_json": {"type": "object"}},
        {"guided_regex": "[a-z]+"},
        {"guided_grammar": "root ::= x"},
        {"n": 2},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "I beg"}]},
    ],
    ids=str,
)
def test_what_the_client_asked_for_may_forbid_it(fields: dict[str, Any]) -> None:
    """Where a continuation would not be the answer that was asked for, there is none."""
    assert not can_continue(request(**fields), state(HELLO), "Hello wor")


def test_a_text_completion_is_not_continued() -> None:
    """Only a chat can be given the beginning of its own answer."""
    assert not can_continue(ChatRequest("completions", {"prompt": "x"}), state(HELLO), "Hello wor")


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (state({"reasoning_content": "Let me see"}), ""),
        (state(HELLO, {"reasoning": "Wait"}), "Hello wor"),
        (state({"content": "<think>Let me"}), "<think>Let me"),
        (state({"content": "<think>x</think>Hello"}), "<think>x</think>Hello"),
        (state({"content": "Hm</think>Hello"}), "Hm</think>Hello"),
        (state(HELLO, {"audio": {"data": "AAAA"}}), "Hello wor"),
        (state(HELLO, finish="stop"), "Hello wor"),
        (state(HELLO, done=True), "Hello wor"),
        (state({"role": "assistant"}), ""),
        (state(*({"content": "0123456789"} for _ in range(12))), "0123456789" * 12),
    ],
    ids=[
        "reasoning",
        "reasoning again",
        "inside <think>",
        "after <think>",
        "after a thought that the template opened",
        "sound as well",
        "finished",
        "[DONE] came",
        "nothing said",
        "not all remembered",
    ],
)
def test_where_it_broke_off_may_forbid_it(broken: Any, text: str) -> None:
    """In reasoning, after the end, or without all of the text there is no sound way to go on."""
    assert not can_continue(request(), broken, text)


def test_done_behind_an_error_event_forbids_nothing() -> None:
    """vLLM ends a stream that failed with its error and then [DONE]: it broke off all the same."""
    reader = reader_of(HELLO)
    reader.feed(b'data: {"error": {"message": "out of memory", "code": 500}}\n\ndata: [DONE]\n\n')
    assert can_continue(request(), reader.state, "Hello wor")


def test_who_goes_on() -> None:
    """A connection that was cut may be made anew at once; who fell silent is not asked again."""
    assert same_backend_first(UpstreamBroken("cut"))
    assert not same_backend_first(UpstreamTimeout("silent", phase="idle"))


def test_what_is_asked_for() -> None:
    """The text so far as the last message, to be gone on with; the tokens that are left; no usage
    of a part."""
    body = {
        "model": "a",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    asked = continued(Outgoing(body, (), True), "Hello wor", "b", 60, prefill=False)
    assert asked.body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello wor"},
    ]
    assert (asked.body["continue_final_message"], asked.body["add_generation_prompt"]) == (
        True,
        False,
    )
    assert (asked.body["model"], asked.body["max_tokens"]) == ("b", 60)
    assert "stream_options" not in asked.body
    assert not asked.keep_usage
    assert body["max_tokens"] == 100
    assert len(body["messages"]) == 1
    assert (
        "max_tokens"
        not in continued(Outgoing({"messages": []}, (), True), "x", "b", 5, prefill=False).body
    )


def test_a_prefill_is_a_last_message_and_nothing_else() -> None:
    """A backend that continues by itself is not sent vLLM's fields, which it might refuse."""
    asked = continued(Outgoing({"messages": []}, (), True), "Hello wor", "b", None, prefill=True)
    assert asked.body == {
        "model": "b",
        "messages": [{"role": "assistant", "content": "Hello wor"}],
    }


@pytest.mark.parametrize(
    ("pieces", "rest"),
    [
        (["Hello wor", "ld", "!"], "ld!"),
        (["Hel", "lo", " world", "!"], "ld!"),
        (["ld", "!"], "ld!"),
        (["H", "e wrote."], "He wrote."),
        (["Hello", " there"], "Hello there"),
        (["Hello"], "Hello"),
        (["Hello wor"], ""),
    ],
    ids=["at once", "in pieces", "not at all", "one letter", "one word", "ended", "and no more"],
)
def test_what_the_client_has_is_not_sent_again(pieces: list[str], rest: str) -> None:
    """A backend that begins with the whole text again is cut short; one that only begins alike
    loses nothing."""
    rewrite = rewriter("a", "Hello wor")
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert said(b"".join(rewrite(chunk) for chunk in chunks)) == rest


def test_the_rest_fits_what_was_sent() -> None:
    """Its events take over the id; no second role, no usage, and nothing that says nothing."""
    rewrite = rewriter("chatcmpl-1", "")

    def fitted(**chunk: Any) -> Any:
        made = rewrite({"id": "chatcmpl-2", **chunk})
        return orjson.loads(made[6:]) if made else None

    assert fitted(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}]) is None
    first = fitted(
        choices=[{"index": 0, "delta": {"role": "assistant", "content": "ld"}}],
        usage={"total_tokens": 3},
    )
    assert first == {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "ld"}}]}
    assert (
        fitted(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])["choices"][0][
            "finish_reason"
        ]
        == "stop"
    )


WORDS = [f" wörd{i}" for i in range(1, 9)]


@settings(deadline=None)
@given(data=st.data())
def test_what_was_sent_is_a_prefix_and_the_rest_completes_it(data: st.DataObject) -> None:
    """Wherever the bytes stop and however they are split, the text passed on is the text
    remembered, and with the rest it is whole."""
    events = b"".join(
        b"data: "
        + orjson.dumps({"id": "a", "choices": [{"index": 0, "delta": {"content": word}}]})
        + b"\n\n"
        for word in WORDS
    )
    came = events[: data.draw(st.integers(0, len(events)))]
    reader, sent = SseReader(keep_usage=False, keep_text=1000, choices=1), b""
    while came:
        size = data.draw(st.integers(1, len(came)))
        sent += reader.feed(came[:size])
        came = came[size:]
    text = reader.state.text
    assert text == said(sent)
    assert "".join(WORDS).startswith(text)
    rest = SseReader(keep_usage=False, choices=1, rewrite=rewriter("a", ""))
    chunk = {
        "id": "b",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "".join(WORDS)[len(text) :]}}
        ],
    }
    assert text + said(rest.feed(b"data: " + orjson.dumps(chunk) + b"\n\n")) == "".join(WORDS)


def said(stream: bytes) -> str:
    return "".join(
        orjson.loads(event[6:])["choices"][0]["delta"].get("content", "")
        for event in stream.split(b"\n\n")
        if event
    )


@pytest.mark.parametrize(
    ("body", "count"),
    [(b'{"count": 12}', 12), (b'{"count": "12"}', None), (b"[]", None), (b"<html>", None)],
)
def test_reading_a_token_count(body: bytes, count: int | None) -> None:
    """Only a number is one."""
    assert read_count(body) == count


@pytest.mark.parametrize(
    ("sent", "pieces", "whole"),
    [
        ("Hello wor", ["Hello ", "world"], "Hello world"),
        ("Hello wor", ["\n", "Hello ", "world"], "Hello world"),
        (" Hello\n wor", ["Hello wor", "ld"], " Hello\n world"),
        ("Hello ", ["Hello", " world"], "Hello world"),
        ("Hello ", ["Hello world"], "Hello world"),
        ("One. It breaks off", ["It breaks ", "off here."], "One. It breaks off here."),
        ("One.\nIt breaks off", ["\nIt breaks off", " here."], "One.\nIt breaks off here."),
        ("Hello", [" Hello!"], "Hello!"),
        ("Hello wor", ["ld"], "Hello world"),
        ("Hello wor", ["Hell", "ish"], "Hello worHellish"),
        ("Oh. No", [" No no"], "Oh. No No no"),
        ("Hello", ["<th", "ink>Hm</think>\n\n", " world"], "Hello world"),
        ("Hello", ["<think>Hm</think>", "Hello wor", "ld"], "Hello world"),
        ("Hello", ["<", "b>"], "Hello<b>"),
    ],
)
def test_what_repeats_the_text_sent_is_cut(sent: str, pieces: list[str], whole: str) -> None:
    """All of it or its last, unfinished sentence, however it is spaced; nothing else is."""
    rewrite, got = rewriter("c", sent), ""
    for at, piece in enumerate(pieces):
        end = "stop" if at == len(pieces) - 1 else None
        out = rewrite(
            {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": end}]}
        )
        got += (orjson.loads(out[6:])["choices"][0]["delta"].get("content") or "") if out else ""
    assert sent + got == whole


def test_an_answer_asked_for_as_text_can_be_continued() -> None:
    """Which is what every answer is without being asked."""
    asked = request(response_format={"type": "text"})
    assert can_continue(asked, state(HELLO), "Hello wor")
