"""Streams of Anthropic's Messages API: whatever comes, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from anthropic_events import events_of, message_of
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, delta, event, finish, role, usage
from test_messages_answer import blocks_of, called, chunk, streamed, whole

from airouter.dialects import messages_stream

Json = dict[str, Any]


def test_arguments_are_neither_parsed_nor_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either of two calls, once it is known what the chunks have in common."""
    parsed: list[bytes] = []

    def noting(raw: bytes, *_: Any) -> Any:
        parsed.append(raw)
        return orjson.loads(raw)

    monkeypatch.setattr(messages_stream, "lenient", noting)
    calls = []
    for i, name in enumerate("ab"):
        pieces = [called(i, "", name, name), called(i, '{"a":"')]
        calls += [*pieces, *(called(i, f"t{n}") for n in range(20)), called(i, '"}')]
    data = streamed(*calls, finish(), DONE)
    assert len(parsed) == 5
    assert [block["input"]["a"][-3:] for block in blocks_of(data)] == ["t19", "t19"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(0, 9), st.booleans()), max_size=3)
CALLS = st.lists(st.tuples(TEXTS, ARGUMENTS), max_size=3)


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=6), CALLS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_both_forms_say_the_same(
    thoughts: list[str], texts: list[str], calls: list[tuple[str, Json]], random: Any
) -> None:
    """However a stream is cut and calls alternate: the blocks are those of the whole answer."""
    made = [
        {"id": f"c{i}", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(calls)
    ]
    said = {"content": "".join(texts), "reasoning_content": "".join(thoughts), "tool_calls": made}
    expected = whole({"choices": [{"message": said}]})["content"]
    left = {}
    pieces = [chunk(reasoning_content=text) for text in thoughts] + [delta(text) for text in texts]
    for i, call in enumerate(made):
        arguments = call["function"]["arguments"]
        ends = sorted(random.randrange(len(arguments) + 1) for _ in range(random.randrange(9)))
        left[i] = [arguments[a:b] for a, b in pairwise([0, *ends, len(arguments)])]
        pieces.append(called(i, "", call["function"]["name"], call["id"]))
    while left:
        i = random.choice(list(left))
        pieces.append(called(i, left[i].pop(0)))
        if not left[i]:
            del left[i]
    data = streamed(role(), *pieces, finish(), DONE, at_once=random.random() < 0.5)
    assert blocks_of(data) == expected


EVENTS = st.one_of(
    TEXTS.map(delta),
    TEXTS.map(lambda text: chunk(reasoning_content=text)),
    TEXTS.map(lambda text: chunk(refusal=text)),
    st.builds(called, st.integers(0, 2) | st.none(), TEXTS, TEXTS | st.just(""), st.just("")),
    st.builds(called, st.integers(0, 2), st.sampled_from(["{", "}", '"a":1', "{}"])),
    st.sampled_from([role(), finish(), usage(), b": ping", b"data: [1]", b'data: {"choices": 5}']),
    st.sampled_from([
        chunk(tool_calls=5), chunk(tool_calls=[5, {}]), chunk(content=[{"type": "text"}]),
        chunk(tool_calls=[{"function": {"arguments": {"a": 1}}}]), event(choices=[5]),
    ]),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=14), st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_grammar_always_holds(events: list[bytes], at_once: bool) -> None:
    """And it is the same as when each chunk is parsed."""
    data = streamed(*events, DONE, at_once=at_once)
    message_of_some(data)
    with patch.object(messages_stream, "_TRIES", 0):
        assert events_of(streamed(*events, DONE)) == events_of(data)
    broken = event(error={"message": "It broke.", "type": "upstream_error"}, choices=[])
    cut = events_of(streamed(*events, broken, DONE))
    assert [one["type"] for one in cut].count("error") == 1
    assert cut[-1]["type"] == "error"


def message_of_some(data: bytes) -> None:
    """The stream of a message whose calls may have any arguments."""
    with patch("anthropic_events.json", ReadsAll()):
        message_of(data)


class ReadsAll:
    """JSON, of which arguments need not be any."""

    def loads(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text
