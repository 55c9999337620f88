"""The body that goes to a backend: built new, the client's own left as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airouter.execution.compose import Outgoing, compose
from airouter.request import parse_request
from airouter.settings import BackendSettings
from airouter.types import Endpoint

DATE = "Current date: Monday, 5 January 2026."
PROMPTS = {"house": "You are the house's own."}
USER = {"role": "user", "content": "Hello"}


def composed(
    payload: dict[str, Any],
    endpoint: Endpoint = "chat",
    backend: dict[str, Any] | None = None,
    **options: Any,
) -> Outgoing:
    before = copy.deepcopy(payload)
    outgoing = compose(
        parse_request(endpoint, payload),
        BackendSettings.model_validate(backend or {}),
        "m",
        prompts=PROMPTS,
        date=DATE,
        **options,
    )
    assert payload == before, "the client's own payload was edited"
    return outgoing


def roles(outgoing: Outgoing) -> list[str]:
    return [message["role"] for message in outgoing.messages]


def test_what_is_not_ours_passes_untouched() -> None:
    """Every field of the client's reaches the backend but for the model's name."""
    payload = {
        "messages": [USER],
        "model": "ai-router",
        "temperature": 0.1,
        "extension": {"x": [1]},
        "tools": [],
    }
    assert composed(payload).body == {**payload, "model": "m"}
    assert composed(payload).body["messages"] is payload["messages"]


@pytest.mark.parametrize(
    ("backend", "asked", "sent", "adjusted"),
    [
        ({}, {"max_tokens": 5}, {"max_tokens": 5}, ()),
        ({"reasoning": True}, {"max_tokens": 5}, {}, ("max_tokens=5 stripped",)),
        (
            {"reasoning": True},
            {"max_completion_tokens": 5},
            {},
            ("max_completion_tokens=5 stripped",),
        ),
        (
            {"min_max_tokens": 100},
            {"max_tokens": 5},
            {"max_tokens": 100},
            ("max_tokens=5 raised to 100",),
        ),
        ({"min_max_tokens": 100}, {"max_tokens": 500}, {"max_tokens": 500}, ()),
        ({"min_max_tokens": 100}, {}, {}, ()),
        ({"min_max_tokens": 100}, {"max_tokens": None}, {"max_tokens": None}, ()),
        ({"min_max_tokens": 100, "max_tokens": "pass"}, {"max_tokens": 5}, {"max_tokens": 5}, ()),
        ({"max_tokens": "strip"}, {"max_tokens": 5}, {}, ("max_tokens=5 stripped",)),
        ({"reasoning": True, "max_tokens": "pass"}, {"max_tokens": 5}, {"max_tokens": 5}, ()),
    ],
)
def test_max_tokens_follows_the_backends_policy(
    backend: dict[str, Any], asked: dict[str, Any], sent: dict[str, Any], adjusted: tuple[str, ...]
) -> None:
    """Stripped for a reasoning backend, raised to a cloud's floor, else passed; what was changed is said."""
    outgoing = composed({"messages": [USER], **asked}, backend=backend)
    assert {name: value for name, value in outgoing.body.items() if "tokens" in name} == sent
    assert outgoing.adjusted == adjusted


def test_the_date_comes_last_in_the_system_text() -> None:
    """Static text first, the client's own next, what changes last: so a prefix cache survives."""
    backend = {"system_prompt": "house", "date_context": True}
    outgoing = composed(
        {"messages": [{"role": "system", "content": "Be brief."}, USER]}, backend=backend
    )
    assert roles(outgoing) == ["system", "user"]
    assert outgoing.messages[0]["content"] == f"{PROMPTS['house']}\n\nBe brief.\n\n{DATE}"
    outgoing = composed({"messages": [USER]}, backend=backend)
    assert outgoing.messages[0] == {"role": "system", "content": f"{PROMPTS['house']}\n\n{DATE}"}


def test_a_system_message_may_consist_of_parts() -> None:
    """Parts stay parts, in the same order; the developer's role stays the developer's."""
    first = {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}
    outgoing = composed(
        {"messages": [first, USER]}, backend={"system_prompt": "house", "date_context": True}
    )
    assert outgoing.messages[0]["role"] == "developer"
    assert [part["text"] for part in outgoing.messages[0]["content"]] == [
        PROMPTS["house"],
        "Be brief.",
        DATE,
    ]


def test_without_a_date_nothing_is_added() -> None:
    """A backend that wants neither prompt nor date gets the client's messages themselves."""
    messages = [{"role": "system", "content": "Be brief."}, USER]
    assert composed({"messages": messages}).messages is messages


def test_context_stands_before_the_last_user_message() -> None:
    """What a search found is system text right before what it was fetched for, also when tools follow."""
    turn = [
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "News?"},
        {"role": "assistant", "content": "Hm"},
    ]
    outgoing = composed({"messages": [USER, *turn]}, context="FOUND")
    assert roles(outgoing) == ["user", "assistant", "system", "user", "assistant"]
    assert outgoing.messages[2]["content"] == "FOUND"
    assert roles(composed({"messages": [{"role": "system", "content": "x"}]}, context="FOUND")) == [
        "system",
        "system",
    ]


@pytest.mark.parametrize(
    ("payload", "options"),
    [
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        (
            {"stream": True, "stream_options": {"include_usage": False, "x": 1}},
            {"include_usage": True, "x": 1},
        ),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"include_usage": True}),
        ({"stream": False}, None),
        ({}, None),
    ],
)
def test_usage_is_always_asked_for(payload: dict[str, Any], options: dict[str, Any] | None) -> None:
    """A stream's usage is requested whatever the client wants, and kept only for who asked."""
    outgoing = composed({"messages": [USER], **payload})
    assert outgoing.body.get("stream_options") == options
    assert outgoing.keep_usage == bool((payload.get("stream_options") or {}).get("include_usage"))
    assert composed({"messages": [USER], **payload}, usage=False).body.get(
        "stream_options"
    ) == payload.get("stream_options")


def test_a_frontends_note_stays_here() -> None:
    """metadata with a task is a note to a router; metadata without one is the backend's."""
    assert (
        "metadata"
        not in composed(
            {"messages": [USER], "metadata": {"task": "title_generation", "chat_id": "1"}}
        ).body
    )
    assert composed({"messages": [USER], "metadata": {"user": "x"}}).body["metadata"] == {
        "user": "x"
    }


def test_meta_keeps_its_newest_history() -> None:
    """A housekeeping request over the limit loses its oldest turns, and keeps system text and instruction."""
    messages = [
        {"role": "system", "content": "S"},
        *({"role": "user", "content": f"{i:04d}" * 25} for i in range(50)),
        USER,
    ]
    outgoing = composed({"messages": messages}, meta_max_chars=1000)
    kept = [message["content"] for message in outgoing.messages]
    assert (kept[0], kept[-1]) == ("S", "Hello")
    assert sum(map(len, kept)) <= 1000
    assert kept[1:-1] == [message["content"] for message in messages[-1 - len(kept[1:-1]) : -1]]
    assert "cut to the newest 1000" in outgoing.adjusted[0]
    assert composed({"messages": messages[:3]}, meta_max_chars=1000).messages == messages[:3]


def test_a_long_meta_prompt_keeps_head_and_newest_history() -> None:
    """When it is one message, what stands before the history stays, and the newest of the history."""
    lines = "\n".join(f"USER: line {i}" for i in range(5000))
    text = f"### Task:\nMake a title.\n<chat_history>\n{lines}\n</chat_history>"
    outgoing = composed({"messages": [{"role": "user", "content": text}]}, meta_max_chars=5000)
    cut = outgoing.messages[0]["content"]
    assert len(cut) <= 5000
    assert cut.startswith("### Task:\nMake a title.\n<chat_history>")
    assert cut.endswith("USER: line 4999\n</chat_history>")
    assert "line 10\n" not in cut


def test_other_endpoints_are_left_alone() -> None:
    """Text completions get the token policy but no system text; embeddings get neither."""
    backend = {"system_prompt": "house", "date_context": True, "min_max_tokens": 100}
    text = composed({"prompt": "Once", "max_tokens": 5}, "completions", backend)
    assert text.body == {"prompt": "Once", "max_tokens": 100, "model": "m"}
    vectors = composed({"input": "x", "max_tokens": 5, "stream": True}, "embeddings", backend)
    assert vectors.body == {"input": "x", "max_tokens": 5, "stream": True, "model": "m"}


def test_the_sessions_parameters_hold_no_content() -> None:
    """What is written down as parameters are scalars, without prompt and input."""
    outgoing = composed(
        {"prompt": "secret", "max_tokens": 5, "stop": ["secret"], "temperature": 0.5}, "completions"
    )
    assert outgoing.params() == {"max_tokens": 5, "temperature": 0.5}
