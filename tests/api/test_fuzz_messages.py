"""Random bodies to /v1/messages while the backends break their answers off: what a client gets is
never a 500, is an error of the server only where every backend failed, and has the API's form."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests import claude_code, fuzzing
from tests.dialects.anthropic_events import events_of
from tests.fuzzing import Faults, Json

ERRORS = {
    400: {"invalid_request_error"},
    404: {"not_found_error"},
    413: {"request_too_large"},
    422: {"invalid_request_error"},
    502: {"api_error", "overloaded_error"},
    503: {"api_error", "overloaded_error"},
    504: {"timeout_error"},
    529: {"overloaded_error"},
}


@pytest.fixture
def fuzzed(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    def asked(model: str) -> Json:
        return {"model": model, "max_tokens": 9, "messages": [user("Hi")]}

    with fuzzing.router_of(sim, tmp_path_factory.mktemp("fuzz"), asked, send) as router:
        yield router


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def valid(rng: random.Random) -> tuple[Json, Faults]:
    """A request that every backend could answer, and the faults that it causes, by role."""
    tools = rng.random() < 0.3
    ask, faults = fuzzing.ask(rng, tools=tools)
    body: Json = {
        "model": rng.choice(("claude-opus-4-8", "ai-router/primary", "ai-router/xai", "ai-router")),
        "max_tokens": rng.choice((256, 1024, 32_000)),
        "stream": rng.random() < 0.6,
        "messages": [*earlier(rng), user(ask if rng.random() < 0.5 else [claude_code.text(ask)])],
    }
    extras: Json = {
        "system": rng.choice(("Be brief.", [claude_code.billing(), claude_code.text("Be brief.")])),
        "temperature": rng.random(),
        "top_p": 0.9,
        "stop_sequences": ["never said"],
        "metadata": {"user_id": "u"},
        "thinking": rng.choice(({"type": "adaptive"}, {"type": "disabled"})),
        "output_config": {"effort": rng.choice(("low", "high", "max"))},
        "context_management": {"edits": []},
    }
    body |= {name: value for name, value in extras.items() if rng.random() < 0.3}
    if tools:
        body["tools"] = [claude_code.tool(name) for name in ("weather", "Bash")]
        if rng.random() < 0.3:
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    return body, faults


def earlier(rng: random.Random) -> list[Json]:
    """Turns before the ask."""
    turns: list[Json] = []
    for number in range(rng.choice((0, 0, 1, 2))):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": "ls"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "a b"}
        thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
        image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
        source = {"type": "text", "media_type": "text/plain", "data": "a b"}
        parts = [image, {"type": "document", "source": source}]
        turns += rng.choice(
            (
                [user("Hi"), {"role": "assistant", "content": "Hello"}],
                [
                    user(parts),
                    {"role": "assistant", "content": [thought, claude_code.text("Hello")]},
                ],
                [user("Hi"), {"role": "assistant", "content": [use]}, user([result])],
            )
        )
    return turns


def send(router: RouterProcess, body: Json | bytes) -> requests.Response:
    version = {"anthropic-version": "2023-06-01"}
    return fuzzing.posted(router, "/v1/messages", body, **version)


def error_kind(payload: Any) -> str:
    """The type of an error in Anthropic's form."""
    assert set(payload) == {"type", "error", "request_id"}
    assert payload["type"] == "error"
    assert set(payload["error"]) == {"type", "message"}
    assert payload["error"]["message"]
    return str(payload["error"]["type"])


def streamed(data: bytes) -> tuple[list[Json], str | None, str | None]:
    """The blocks of a stream, why it stopped, and the type of its error.

    Raises:
        AssertionError: the order of the events is not the API's.
    """
    assert data.endswith(b"\n\n")
    events = events_of(data)
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    blocks: list[Json] = []
    is_open, reason, ended = False, None, ""
    for event in events[2:]:
        kind = event["type"]
        assert not ended, f"{kind} after {ended}"
        if kind == "content_block_start":
            assert not is_open
            assert reason is None
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "pieces": ""})
            is_open = True
        elif kind == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            blocks[-1]["pieces"] += next(
                str(value) for name, value in event["delta"].items() if name != "type"
            )
        elif kind == "content_block_stop":
            assert is_open
            is_open = False
        elif kind == "message_delta":
            assert not is_open
            reason = event["delta"]["stop_reason"]
        elif kind == "message_stop":
            assert reason is not None
            ended = kind
        elif kind == "error":
            ended = error_kind({"request_id": None, **event})
        else:
            assert kind == "ping", kind
    assert ended
    return blocks, reason, None if ended == "message_stop" else ended


def check(answer: requests.Response, faults: Faults | None) -> str:
    status = answer.status_code
    if status != 200:
        kind = fuzzing.check_status(status, faults)
        assert error_kind(answer.json()) in ERRORS[status]
        return kind
    if answer.headers["Content-Type"].startswith("application/json"):
        message = answer.json()
        blocks, reason, error = message["content"], message["stop_reason"], None
    else:
        blocks, reason, error = streamed(answer.content)
        for block in blocks:
            if block["type"] == "text":
                block["text"] += block["pieces"]
            elif block["type"] == "tool_use" and error is None:
                assert isinstance(json.loads(block["pieces"] or "{}"), dict)
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    whole = reason == "end_turn"
    return fuzzing.check_text(text, faults, broken=error is not None, whole=whole)


def test_no_body_and_no_cut_is_the_routers_fault(fuzzed: RouterProcess) -> None:
    fuzzing.run(fuzzed, send, valid, check)
