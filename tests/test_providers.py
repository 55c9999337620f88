"""What each kind of backend is: how it is asked, and how its search is read."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from airouter.domain.errors import ConfigError
from airouter.domain.types import WebSearch
from airouter.settings.schema import BackendSettings
from providers import KINDS


def test_the_catalogue_is_what_the_configuration_offers() -> None:
    """Each kind that `kind:` accepts has a provider of that name, and the other way round."""
    assert set(KINDS) == set(get_args(BackendSettings.model_fields["kind"].annotation))
    assert all(provider.kind == name for name, provider in KINDS.items())


@pytest.mark.parametrize("kind", KINDS)
def test_only_its_own_key_is_sent(kind: str) -> None:
    """With a key there is a header with it, without one there is none."""
    name, value = ("x-api-key", "secret") if kind == "anthropic" else (
        "Authorization", "Bearer secret"
    )  # fmt: skip
    assert KINDS[kind].headers("secret")[name] == value
    assert "secret" not in str(KINDS[kind].headers("secret") | {name: ""})
    assert {"Authorization", "x-api-key"}.isdisjoint(KINDS[kind].headers(None))
    assert KINDS[kind].headers(None)["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_is_json_at_our_own_path(kind: str) -> None:
    """A request is made from a path of ours and a body, as UTF-8 JSON."""
    request = KINDS[kind].post("/v1/chat/completions", {"text": "ü🔑"}, {"X": "y"})
    assert (request.method, request.path, request.headers) == (
        "POST",
        "/v1/chat/completions",
        {"X": "y"},
    )
    assert json.loads(request.body) == {"text": "ü🔑"}


def test_health_costs_nothing() -> None:
    """vLLM has a health endpoint; the others are asked for their models."""
    assert KINDS["vllm"].health_path == "/health"
    assert all(KINDS[kind].health_path is None for kind in ("openai", "ollama", "xai"))


def test_a_search_is_asked_as_xai_wants_it() -> None:
    """The search is /v1/responses with its tools as objects, at temperature 0, bounded."""
    request = KINDS["xai"].search(
        WebSearch("Who won?", "grok", ("web_search", "x_search"), 1024), {}
    )
    assert request.path == "/v1/responses"
    assert json.loads(request.body) == {
        "input": "Who won?",
        "model": "grok",
        "max_output_tokens": 1024,
        "temperature": 0,
        "tools": [{"type": "web_search"}, {"type": "x_search"}],
    }


@pytest.mark.parametrize("kind", ["openai", "ollama", "vllm"])
def test_who_cannot_search_says_so(kind: str) -> None:
    """A backend that cannot search is a configuration error, not a silent failure."""
    assert not KINDS[kind].searches
    with pytest.raises(ConfigError, match="kind xai"):
        KINDS[kind].search(WebSearch("x", "m", (), 1), {})


def block(*texts: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (
            {"output": [{"type": "web_search_call"}, block("one", "two"), block("three")]},
            "one\n\ntwo\n\nthree",
        ),
        (
            {
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                    block("one"),
                ]
            },
            "one",
        ),
        ({"output": [block(None, 5, ["x"], "one")]}, "one"),
        ({"output": []}, ""),
        ({"output": None}, ""),
        ({"output": [None, 5, "x", {"content": None}, {"content": [None, "x"]}]}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_the_output_text_blocks_are_joined(payload: Any, text: str) -> None:
    """Of a search's answer the text blocks count, whatever else it is or lacks."""
    assert KINDS["xai"].search_text(payload) == text
