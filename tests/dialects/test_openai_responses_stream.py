"""Streams of the Responses API: whatever comes, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, delta, event, finish, role
from test_messages_answer import called, chunk
from test_messages_stream import EVENTS, TEXTS
from test_openai_responses_answer import completion, dialect, output_of, streamed, whole

from airouter.dialects import blocks
from airouter.dialects.openai_responses_items import messages_of
from airouter.dialects.openai_responses_tools import Names
from tests.responses_events import events_of, response_of

Json = dict[str, Any]
NAMES = st.sampled_from(["a", "run", "agents__spawn", "agents__ask"]) | TEXTS
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers(0, 9), max_size=3).map(json.dumps)
INPUTS = TEXTS.map(lambda text: json.dumps({"input": text}))
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS | INPUTS), max_size=3)


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=6), CALLS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_both_forms_say_the_same_and_lead_back(
    thoughts: list[str], texts: list[str], calls: list[tuple[str, str]], random: Any
) -> None:
    """However a stream is cut and calls alternate. What it says comes back as the messages that it
    was made of."""
    made = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    said = {"content": "".join(texts), "reasoning_content": "".join(thoughts), "tool_calls": made}
    expected = whole(completion(**said))["output"]
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
    assert output_of(data) == expected
    if expected:
        names = dialect().names
        [message] = messages_of(None, expected, names, [])
        assert message["content"] == said["content"]
        assert message.get("reasoning_content", "") == said["reasoning_content"]
        assert _calls(message.get("tool_calls", []), names) == _calls(made, names)


def _calls(calls: list[Json], names: Names) -> list[Any]:
    """The calls, with the arguments of custom tools as the input that they mean."""
    found = []
    for call in calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if names.of(name).custom:
            read = json.loads(arguments)
            arguments = read["input"] if isinstance(read.get("input"), str) else arguments
        found.append((call["id"], names.flat(None, name), arguments))
    return found


@given(st.lists(EVENTS, max_size=14), st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_grammar_always_holds(events: list[bytes], at_once: bool) -> None:
    """And it is the same as when each chunk is parsed."""
    data = streamed(*events, DONE, at_once=at_once)
    response_of(data)
    with patch.object(blocks, "_TRIES", 0):
        assert events_of(streamed(*events, DONE)) == events_of(data)
    broken = event(error={"message": "It broke.", "type": "upstream_error"}, choices=[])
    cut = streamed(*events, broken, DONE)
    assert response_of(cut, cut=True)["status"] == "failed"
