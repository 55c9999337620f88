"""Random bodies to /v1/responses while the backends break their answers off: what a client gets is
never a 500, is an error of the server only where every backend failed, and has the API's form."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from openai.types.responses import Response

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests import codex, fuzzing
from tests.fuzzing import Faults, Json
from tests.responses_events import response_of

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS: tuple[list[Json], ...] = (
    [codex.function("weather", place="string")],
    [{"type": "custom", "name": "apply_patch", "description": "A patch."}],
    [{**codex.tools()[4], "tools": [codex.function("wait_agent", target="string")]}],
    codex.tools(),
)


@pytest.fixture
def fuzzed(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    def asked(model: str) -> Json:
        return {"model": model, "input": "Hi", "max_output_tokens": 9}

    with fuzzing.router_of(sim, tmp_path_factory.mktemp("fuzz"), asked, send) as router:
        yield router


def valid(rng: random.Random) -> tuple[Json, Faults]:
    """A request that every backend could answer, and the faults that it causes, by role."""
    tools = rng.random() < 0.4
    ask, faults = fuzzing.ask(rng, tools=tools)
    given: Any = [*earlier(rng), codex.message("user", ask)]
    if rng.random() < 0.2:
        given = ask
    body: Json = {
        "model": rng.choice(("ai-router/primary", "ai-router/xai", "ai-router")),
        "stream": rng.random() < 0.6,
        "input": given,
    }
    extras: Json = {
        "instructions": "Be brief.",
        "max_output_tokens": rng.choice((256, 32_000)),
        "temperature": rng.random(),
        "top_p": 0.9,
        "store": rng.random() < 0.5,
        "metadata": {"user_id": "u"},
        "include": ["reasoning.encrypted_content"],
        "reasoning": rng.choice(({"effort": "low"}, {"effort": "high", "summary": "auto"}, {})),
        "parallel_tool_calls": rng.random() < 0.5,
        "prompt_cache_key": f"k{rng.randrange(3)}",
        "client_metadata": {"session_id": "s"},
        "truncation": "auto",
        "text": rng.choice(({"verbosity": "low"}, {"format": {"type": "text"}})),
        "user": "u",
        "previous_response_id": None,
    }
    body |= {name: value for name, value in extras.items() if rng.random() < 0.3}
    if tools:
        body["tools"] = rng.choice(TOOLS)
        body["tool_choice"] = rng.choice(("auto", "none", None))
    elif rng.random() < 0.1:
        shape = {"type": "json_schema", "name": "shape", "schema": SCHEMA, "strict": True}
        body["text"] = {"format": shape}
    return body, faults


def earlier(rng: random.Random) -> list[Json]:
    """Items before the ask."""
    items = [codex.message("developer", "Be kind.", "Be brief.")] if rng.random() < 0.3 else []
    for number in range(rng.choice((0, 0, 1, 2))):
        known = {"call_id": f"c{number}"}
        call = {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}'}
        output = {"type": "function_call_output", "output": "a b"}
        custom = {"type": "custom_tool_call", "name": "apply_patch", "input": "a\nb"}
        parts = [{"type": "input_text", "text": "a b"}]
        image = {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"}
        told = {"type": "reasoning_text", "text": "Hm."}
        thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [told]}
        hidden = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
        said = {"type": "output_text", "text": "Hello", "annotations": []}
        answer = {"type": "message", "role": "assistant", "content": [said]}
        items += rng.choice(
            (
                [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
                [codex.message("user", "Hi"), thought, answer],
                [{"role": "user", "content": [image, *parts]}, hidden, answer],
                [codex.message("user", "Hi"), thought, call | known, output | known],
                [
                    codex.message("user", "Hi"),
                    custom | known,
                    {"type": "custom_tool_call_output", "output": parts} | known,
                ],
                [codex.message("user", "Hi"), call | known | {"namespace": "multi_agent_v1"},
                 {**output, "output": parts} | known],
            )
        )  # fmt: skip
    return items


def send(router: RouterProcess, body: Json | bytes) -> requests.Response:
    return fuzzing.posted(router, "/v1/responses", body)


def check(answer: requests.Response, faults: Faults | None) -> str:
    status = answer.status_code
    if status != 200:
        kind = fuzzing.check_status(status, faults)
        check_error(answer.json())
        return kind
    if answer.headers["Content-Type"].startswith("application/json"):
        response = answer.json()
        Response.model_validate(response, strict=True)
        assert response["status"] in ("completed", "incomplete")
    else:
        response = response_of(answer.content, cut=True)
    failed = response["status"] == "failed"
    assert failed == (response["error"] is not None)
    text, called = "", False
    for item in response["output"]:
        if item["type"] == "message":
            text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "function_call" and not failed:
            assert isinstance(json.loads(item["arguments"] or "{}"), dict)
        called = called or item["type"].endswith("_call")
    constrained = bool(text) and text.lstrip().startswith("{")  # by a schema: no numbered words
    whole = response["status"] == "completed" and not called and not constrained
    return fuzzing.check_text(text, faults, broken=failed, whole=whole)


def check_error(payload: Any) -> None:
    """An error in OpenAI's form."""
    assert [*payload] == ["error"]
    error = payload["error"]
    assert {"message", "type", "param", "code"} <= {*error}
    assert isinstance(error["message"], str)
    assert error["message"]
    for name in ("type", "param", "code"):
        assert isinstance(error[name], str | None), error


def test_no_body_and_no_cut_fails_for_the_routers_sake(fuzzed: RouterProcess) -> None:
    fuzzing.run(fuzzed, send, valid, check)
