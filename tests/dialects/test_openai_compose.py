"""The body that goes to a backend: built new, the client's own left as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airouter.dialects.openai_compose import Outgoing, compose
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Endpoint
from airouter.settings.schema import BackendSettings

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
    """Stripped for a reasoning backend, raised to a cloud's floor, else passed; what was changed
    is said."""
    outgoing = composed({"messages": [USER], **asked}, backend=backend)
    assert {name: value for name, value in outgoing.body.items() if "tokens" in name} == sent
    assert outgoing.adjusted == adjusted


@pytest.mark.parametrize(
    ("backend", "sent"),
    [
        ({"kind": "vllm"}, True),
        ({"kind": "openai"}, True),  # SGLang, llama.cpp
        ({"kind": "ollama"}, False),
        ({"kind": "openai", "local": False}, False),
        ({"kind": "xai", "local": False}, False),
    ],
)
def test_arguments_of_a_template_go_to_servers_that_have_one(
    backend: dict[str, Any], sent: bool
) -> None:
    """`think: false` of Ollama's API arrives as such; a cloud would refuse the whole request."""
    payload = {"messages": [USER], "chat_template_kwargs": {"enable_thinking": False}}
    outgoing = composed(payload, backend=backend)
    assert ("chat_template_kwargs" in outgoing.body) is sent
    assert any("chat_template_kwargs" in said for said in outgoing.adjusted) is not sent


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


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([USER], [("system", "HOUSE\n\nDATE\n\nFOUND"), ("user", "Hello")]),
        (
            [{"role": "system", "content": "Be brief."}, USER],
            [("system", "HOUSE\n\nBe brief.\n\nDATE\n\nFOUND"), ("user", "Hello")],
        ),
        (
            [{"role": "developer", "content": "Be brief."}, USER],
            [("developer", "HOUSE\n\nBe brief.\n\nDATE\n\nFOUND"), ("user", "Hello")],
        ),
        ([{"role": "system", "content": None}], [("system", "HOUSE\n\nDATE\n\nFOUND")]),
        (
            [USER, {"role": "assistant", "content": "Hi"}, USER],
            [
                ("system", "HOUSE\n\nDATE\n\nFOUND"),
                ("user", "Hello"),
                ("assistant", "Hi"),
                ("user", "Hello"),
            ],
        ),
        (  # the client's own order stays: it knows its template
            [USER, {"role": "system", "content": "x"}, USER],
            [("user", "Hello"), ("system", "HOUSE\n\nx\n\nDATE\n\nFOUND"), ("user", "Hello")],
        ),
        (
            [{"role": "system", "content": "x"}, {"role": "system", "content": "y"}, USER],
            [("system", "HOUSE\n\nx\n\nDATE\n\nFOUND"), ("system", "y"), ("user", "Hello")],
        ),
    ],
)
def test_what_is_added_makes_no_second_system_message(
    messages: list[dict[str, Any]], sent: list[tuple[str, str]]
) -> None:
    """Static text first, what changes last, in the client's first system message: many templates
    take one only."""
    backend = {"system_prompt": "house", "date_context": True}
    outgoing = composed({"messages": messages}, backend=backend, context="FOUND")
    names = {PROMPTS["house"]: "HOUSE", DATE: "DATE"}
    found = []
    for message in outgoing.messages:
        text = message["content"]
        for long, short in names.items():
            text = text.replace(long, short)
        found.append((message["role"], text))
    assert found == sent


def test_context_joins_a_system_message_of_parts() -> None:
    parts = [{"type": "text", "text": "Be brief."}]
    outgoing = composed({"messages": [{"role": "system", "content": parts}, USER]}, context="FOUND")
    assert roles(outgoing) == ["system", "user"]
    assert outgoing.messages[0]["content"] == [*parts, {"type": "text", "text": "FOUND"}]


def test_several_system_messages_pass_when_nothing_is_added() -> None:
    messages = [USER, {"role": "system", "content": "x"}, USER, {"role": "system", "content": "y"}]
    assert composed({"messages": messages}).messages is messages


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("endpoint", "backend", "window", "sent"),
    [
        ("chat", {}, None, None),  # a chat without a limit is as many as fit, everywhere
        ("chat", {}, 4096, None),
        ("chat", {"min_max_tokens": 100}, None, None),
        ("chat", {"reasoning": True}, None, None),
        ("completions", {}, None, -1),  # llama.cpp and LM Studio understand it
        ("completions", {"kind": "vllm"}, None, None),
        ("completions", {}, 4096, 4096 - len("Once upon a time") - 1),
        ("completions", {"max_tokens": "strip"}, 4096, None),
    ],
)
def test_minus_one_is_as_many_as_fit(
    name: str, endpoint: Endpoint, backend: dict[str, Any], window: int | None, sent: int | None
) -> None:
    payload = {"messages": [USER]} if endpoint == "chat" else {"prompt": "Once upon a time"}
    outgoing = composed({**payload, name: -1}, endpoint, backend, window=window)
    assert outgoing.body.get(name) == sent
    assert len(outgoing.adjusted) == (sent != -1)
    assert all(note.startswith(f"{name}=-1") for note in outgoing.adjusted)


@pytest.mark.parametrize(
    ("asked", "text", "window", "sent"),
    [
        (500, "Hello", 4096, 500),
        (4000, "Hello", 4096, 4000),  # it fits
        (4096, "Hello", 4096, 4096 - 29 - 1),  # beside any prompt it cannot fit
        (1_000_000, "Hello", 4096, 4096 - 29 - 1),
        (32_000, "word " * 2_000, 32_768, 32_768 - (1024 + 10_024 // 3) - 1),
        (32_000, "word " * 30_000, 32_768, 32_768 // 16),  # too long, whatever the limit is
        (2_000, "word " * 30_000, 32_768, 2_000),  # the backend tells its client
        (1_000_000, "Hello", None, 1_000_000),
    ],
)
def test_a_limit_beyond_the_context_window_is_lowered(
    asked: int, text: str, window: int | None, sent: int
) -> None:
    """A backend would refuse it. What may fit is not touched."""
    messages = [{"role": "user", "content": text}]
    outgoing = composed({"messages": messages, "max_tokens": asked}, window=window)
    assert outgoing.body["max_tokens"] == sent
    lowered = f"max_tokens={asked} lowered to {sent}: the context window is {window}"
    assert outgoing.adjusted == ((lowered,) if sent != asked else ())


def test_a_floor_beyond_the_window_is_lowered_too() -> None:
    backend = {"min_max_tokens": 16_384}
    outgoing = composed({"messages": [USER], "max_tokens": 5}, backend=backend, window=4096)
    assert outgoing.body["max_tokens"] == 4096 - 29 - 1
    assert [note.split()[1] for note in outgoing.adjusted] == ["raised", "lowered"]


def test_pictures_and_tools_take_room() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    outgoing = composed({"messages": messages, "max_tokens": 32_768}, window=32_768)
    assert 28_000 < outgoing.body["max_tokens"] < 31_800
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 3000}}]
    with_tools = composed({"messages": [USER], "max_tokens": 9000, "tools": tools}, window=8192)
    assert with_tools.body["max_tokens"] < 8192 - 1000


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
    """A housekeeping request over the limit loses its oldest turns, and keeps system text and
    instruction."""
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
    """When it is one message, what stands before the history stays, and the newest of the
    history."""
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


def test_a_billing_line_is_left_out_for_local_backends_alone() -> None:
    """Before the router's own text is added."""
    line = "x-anthropic-billing-header: cc_version=2.1; cch=1;"
    payload = {"messages": [{"role": "system", "content": f"{line}\nBe brief."}, USER]}
    local = composed(payload, backend={"system_prompt": "house"})
    assert local.messages[0]["content"] == f"{PROMPTS['house']}\n\nBe brief."
    assert local.adjusted == ("billing line left out: it would defeat the prefix cache",)
    cloud = composed(payload, backend={"local": False})
    assert cloud.messages == payload["messages"]
    assert cloud.adjusted == ()
