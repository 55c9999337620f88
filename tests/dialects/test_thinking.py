"""One switch for reasoning, however a client spells it."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.openai_compose import Outgoing, compose
from airouter.dialects.openai_request import parse_request
from airouter.dialects.thinking import spelling_of
from airouter.domain.dialect import Original
from airouter.settings.schema import BackendSettings

Json = dict[str, Any]
USER = {"role": "user", "content": "Hello"}
# (the level, what the client sends, the level in the model's name)
SPELLINGS: list[tuple[str, Json, str | None]] = [
    ("low", {"reasoning_effort": "low"}, None),
    ("low", {"reasoning": {"effort": "low"}}, None),
    ("low", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, None),
    ("low", {}, "low"),
    ("off", {"reasoning_effort": "none"}, None),
    ("off", {"thinking": {"type": "disabled"}}, None),
    ("off", {"chat_template_kwargs": {"enable_thinking": False}}, None),
    ("off", {}, "off"),
]
# How a backend is told (low, off).
KINDS: dict[str, tuple[Json, str, Json, Json]] = {
    "vllm": (
        {"kind": "vllm"},
        "qwen3-32b",
        # A template may read how much as well.
        {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    "llama.cpp": (
        {"kind": "openai"},
        "granite-4",
        {"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "low"},
        {"chat_template_kwargs": {"thinking": False}},
    ),
    "gpt-oss": (
        {"kind": "vllm"},
        "openai/gpt-oss-20b",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "low"},
    ),
    "ollama": (
        {"kind": "ollama"},
        "qwen3:8b",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "none"},
    ),
    "xai": (
        {"kind": "xai", "local": False},
        "grok-4.3",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "none"},
    ),
    "anthropic": (
        {"kind": "anthropic", "local": False},
        "claude-haiku-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": 4000}},
        {"thinking": {"type": "disabled"}},
    ),
}
FIELDS = ("chat_template_kwargs", "thinking", "think", "reasoning_effort", "reasoning")


def sent(fields: Json, backend: Json, model: str = "m", named: str | None = None) -> Outgoing:
    request = parse_request("chat", {"messages": [USER], **fields})
    request.thinking = named
    settings = BackendSettings.model_validate(backend)
    return compose(request, settings, model, prompts={}, date="")


def told(outgoing: Outgoing) -> Json:
    """What the backend is told of reasoning."""
    return {name: outgoing.body[name] for name in FIELDS if name in outgoing.body}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("level", "fields", "named"), SPELLINGS)
def test_four_spellings_for_every_kind_of_backend(
    kind: str, level: str, fields: Json, named: str | None
) -> None:
    backend, model, *expected = KINDS[kind]
    wanted = expected[level == "off"]
    outgoing = sent(fields, backend, model, named)
    if fields.keys() == wanted.keys() and "chat_template_kwargs" not in fields:
        assert (told(outgoing), outgoing.adjusted) == (fields, ())  # it is the backend's own
        return
    assert told(outgoing) == wanted
    if wanted == fields:
        assert outgoing.adjusted == ()
        return
    (note,) = outgoing.adjusted
    assert note.startswith(f"thinking={level} from ")
    assert ", sent as " in note


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_says_nothing_passes_unchanged(kind: str) -> None:
    backend, model, *_ = KINDS[kind]
    for fields in ({}, {"thinking": {"type": "adaptive"}}, {"reasoning_effort": "extreme"},
                   {"reasoning": {"summary": "auto"}}):  # fmt: skip
        outgoing = sent(fields, backend, model)
        assert outgoing.body == {"messages": [USER], "model": model, **fields}
        assert outgoing.adjusted == ()


@pytest.mark.parametrize(
    ("backend", "fields"),
    [
        ({"kind": "vllm"}, {"chat_template_kwargs": {"enable_thinking": True, "x": 1}}),
        ({"kind": "xai", "local": False}, {"reasoning_effort": "minimal"}),
        ({"kind": "xai", "local": False}, {"reasoning_effort": "xhigh"}),
        ({"kind": "anthropic", "thinking": "anthropic"},
         {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
)  # fmt: skip
def test_a_backends_own_spelling_passes_unchanged(backend: Json, fields: Json) -> None:
    outgoing = sent(fields, backend)
    assert (told(outgoing), outgoing.adjusted) == (fields, ())
    assert list(outgoing.body) == ["messages", *fields, "model"]


def test_the_more_specific_spelling_is_obeyed() -> None:
    fields = {
        "reasoning_effort": "high",
        "thinking": {"type": "enabled", "budget_tokens": 1000},
        "chat_template_kwargs": {"enable_thinking": False, "other": 1},
    }
    outgoing = sent(fields, {"kind": "vllm"})
    assert told(outgoing) == {"chat_template_kwargs": {"enable_thinking": False, "other": 1}}
    assert outgoing.adjusted == (
        "thinking=off from chat_template_kwargs.enable_thinking, "
        "sent as chat_template_kwargs.enable_thinking=false",
        "thinking=low from thinking overridden by chat_template_kwargs.enable_thinking",
        "thinking=high from reasoning_effort overridden by chat_template_kwargs.enable_thinking",
    )
    named = sent(fields, {"kind": "xai", "local": False}, named="medium")
    assert told(named) == {"reasoning_effort": "medium"}
    assert sum("overridden by the model name" in note for note in named.adjusted) == 3


def test_on_and_how_much_go_together() -> None:
    fields = {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"}
    outgoing = sent(fields, {"kind": "xai", "local": False})
    assert told(outgoing) == {"reasoning_effort": "low"}
    assert len(outgoing.adjusted) == 1
    assert sent(fields, {"kind": "vllm"}).adjusted == ()


@pytest.mark.parametrize(
    ("backend", "model", "fields"),
    [
        ({"kind": "vllm"}, "m", {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"kind": "openai", "local": False}, "gpt-5.1", {"reasoning_effort": "medium"}),
        ({"kind": "ollama"}, "qwen3", {}),
        ({"kind": "anthropic"}, "claude-opus-4-8", {"thinking": {"type": "adaptive"}}),
        ({"kind": "vllm", "thinking": "none"}, "m", {}),
    ],
)
def test_on_without_a_level(backend: Json, model: str, fields: Json) -> None:
    outgoing = sent({"think": True}, backend, model)
    assert told(outgoing) == fields
    assert len(outgoing.adjusted) == 1


@pytest.mark.parametrize(
    ("kind", "model", "more", "spelling"),
    [
        ("openai", "gpt-4o-mini", {"local": False}, "none"),
        ("xai", "grok-4-1-fast-reasoning", {"local": False}, "none"),
        ("openai", "gpt-5", {"local": False}, "reasoning_effort"),
        ("openai", "plain", {"local": False, "capabilities": ("chat",)}, "none"),
        ("vllm", "plain", {"capabilities": ("chat",)}, "enable_thinking"),
        ("vllm", "gpt-4o-mini", {}, "enable_thinking"),
        ("vllm", "DeepSeek-V3.1", {}, "thinking"),
        ("vllm", "DeepSeek-V3.1", {"thinking": "reasoning_effort"}, "reasoning_effort"),
        ("anthropic", "claude-sonnet-4-20250514", {}, "anthropic"),
        ("anthropic", "claude-opus-4-6", {}, "reasoning_effort"),
        ("anthropic", "claude-3-5-haiku-latest", {}, "none"),
    ],
)
def test_a_backends_spelling(kind: str, model: str, more: Json, spelling: str) -> None:
    settings = BackendSettings.model_validate({"kind": kind, **more})
    assert spelling_of(settings, model) == spelling


def test_what_a_model_cannot_be_told_is_left_out() -> None:
    outgoing = sent({"reasoning_effort": "low"}, {"kind": "openai", "local": False}, "gpt-4o")
    assert told(outgoing) == {}
    assert outgoing.adjusted == (
        "thinking=low from reasoning_effort, left out: not understood by this backend",
    )


def test_llama_cpp_reads_the_effort_from_the_templates_arguments() -> None:
    outgoing = sent({"think": "high"}, {"kind": "openai"}, "gpt-oss-120b")
    assert told(outgoing) == {
        "reasoning_effort": "high",
        "chat_template_kwargs": {"reasoning_effort": "high"},
    }


def test_only_chats_reason() -> None:
    request = parse_request("completions", {"prompt": "Hello"})
    request.thinking = "low"
    outgoing = compose(request, BackendSettings(kind="vllm"), "m", prompts={}, date="")
    assert outgoing.body == {"prompt": "Hello", "model": "m"}
    assert outgoing.adjusted == ("thinking=low left out: for chats only",)


@pytest.mark.parametrize(
    ("model", "named", "given", "expected"),
    [
        ("claude-opus-4-8", "low", {}, {"output_config": {"effort": "low"}}),
        ("claude-opus-4-8", "low", {"thinking": {"type": "disabled"}, "output_config": {"a": 1}},
         {"output_config": {"a": 1, "effort": "low"}}),
        ("claude-opus-4-8", "off", {"thinking": {"type": "enabled", "budget_tokens": 9}},
         {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-4-5", "low", {"temperature": 0.5},
         {"thinking": {"type": "enabled", "budget_tokens": 4_000}, "max_tokens": 4_099}),
        ("claude-sonnet-4-5", "low", {"tool_choice": {"type": "any"}},
         {"thinking": {"type": "disabled"}, "tool_choice": {"type": "any"}}),
        ("claude-3-5-haiku", "low", {}, {}),
    ],
)  # fmt: skip
def test_the_models_name_for_backends_that_speak_messages(
    model: str, named: str, given: Json, expected: Json
) -> None:
    """What such a model would refuse is left out; the name is obeyed, not what contradicts it."""
    payload = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 99, **given}
    request = parse_request("chat", {"messages": payload["messages"], "max_tokens": 99})
    request.thinking, request.original = named, Original(payload, {})
    backend = BackendSettings(kind="anthropic", url="http://127.0.0.1:1", api_key="k")
    outgoing = compose(request, backend, model, prompts={}, date="")
    assert outgoing.native is not None
    plain = {"model": model, "messages": payload["messages"], "max_tokens": 99}
    assert outgoing.native.body == {**plain, **expected}
    refused = ", left out: not understood by this backend" if not expected else ""
    assert outgoing.adjusted == (f"thinking={named} from the model name{refused}",)
