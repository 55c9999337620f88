"""Tool calls that a backend sends as text, over HTTP: repaired on every API, counted, recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
import requests
from harness import Stream, eventually, session_file
from scripted_backend import Asked, ScriptedBackend

from bench.router_process import RouterProcess
from tests.dialects.anthropic_events import message_of
from tests.dialects.written_calls import CALL, TOOLS, called
from tests.native_messages import HEAD, stream_of
from tests.responses_events import response_of

Json = dict[str, Any]
HI = [{"role": "user", "content": "How is the weather in Paris?"}]
WRITTEN = ("Let me ", "look.\n", "<tool", "_call>\n", CALL[:20], CALL[20:], "\n</tool", "_call>")
PARIS = [("get_weather", {"city": "Paris"})]
ANTHROPIC = [
    {"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]}
    for tool in TOOLS
]


def _writes(asked: Asked) -> None:
    if asked.path == "/v1/messages":
        text = {"type": "text", "text": "" if asked.body.get("stream") else "".join(WRITTEN)}
        if not asked.body.get("stream"):
            asked.answer(orjson.dumps({**HEAD, "content": [text], "stop_reason": "end_turn"}))
            return
        asked.stream(finish=False)
        deltas: list[Json] = [{"type": "text_delta", "text": word} for word in WRITTEN]
        asked.raw(stream_of([(text, deltas)], "end_turn"))
        return
    asked.stream(*WRITTEN, finish="break" not in json.dumps(asked.body["messages"]))


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """With a backend whose calls are repaired, and one whose are not."""
    with ExitStack() as stack:
        backends = {
            name: {
                "kind": "openai",
                "model": name,
                "url": stack.enter_context(ScriptedBackend(_writes)).url,
                "repair_tool_calls": name != "as-they-are",
                "messages": "native" if name == "native" else "translate",
            }
            for name in ("repaired", "as-they-are", "native")
        }
        config = {
            "backends": {**backends, "primary": {"url": None}, "router": {"url": None}},
            "routes": {"primary": {"backends": ["repaired"]}, "xai": {"backends": ["repaired"]}},
            "cascade": {"tiers": ["rules"]},
            "speculation": {"enabled": False},
            "probes": {"enabled": False},
        }
        router = RouterProcess(tmp_path_factory.mktemp("calls"), backends={}, config=config)
        yield router.start()
        router.stop()


def post(router: RouterProcess, path: str, **body: Any) -> requests.Response:
    body = {"model": "ai-router", "messages": HI, "max_tokens": 99, **body}
    answer = requests.post(router.url + path, json=body, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_whole_answer(router: RouterProcess) -> None:
    before = router.metric("airouter_tool_calls_repaired_total")
    answer = post(router, "/v1/chat/completions", tools=TOOLS)
    choice = answer.json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "Let me look.")
    assert called(choice["message"]) == PARIS
    assert answer.headers["X-Router-Adjusted"] == "tool calls repaired from text: 1"
    document = session_file(router, answer.headers["X-Router-Session"])
    assert document["repaired_calls"] == 1
    eventually(lambda: router.metric("airouter_tool_calls_repaired_total") == before + 1)


def test_a_stream(router: RouterProcess) -> None:
    body = {"model": "ai-router", "messages": HI, "tools": TOOLS}
    stream = Stream(router, body).read()
    assert (stream.text, stream.finish_reasons, stream.done) == (
        "Let me look.\n",
        ["tool_calls"],
        True,
    )
    calls = [call for e in stream.events for call in called(e["choices"][0]["delta"])]
    assert calls == PARIS
    document = session_file(router, stream.headers["X-Router-Session"])
    assert (document["repaired_calls"], document["outcome"]) == (1, "ok")
    assert document["adjusted"] == ["tool calls repaired from text: 1"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["ai-router", "native"])
def test_anthropics_api(router: RouterProcess, model: str, stream: bool) -> None:
    """Of a backend that speaks it, too."""
    answer = post(router, "/v1/messages", tools=ANTHROPIC, stream=stream, model=model)
    message = message_of(answer.content) if stream else answer.json()
    text, call = message["content"]
    assert text["text"].strip() == "Let me look."
    assert (call["type"], call["name"], call["input"]) == ("tool_use", *PARIS[0])
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("stream", [True, False])
def test_openais_responses(router: RouterProcess, stream: bool) -> None:
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    answer = post(router, "/v1/responses", input=HI, tools=tools, stream=stream)
    response = response_of(answer.content) if stream else answer.json()
    text, call = response["output"]
    assert text["content"][0]["text"].strip() == "Let me look."
    assert (call["type"], call["name"]) == ("function_call", PARIS[0][0])
    assert (json.loads(call["arguments"]), response["status"]) == (PARIS[0][1], "completed")


@pytest.mark.parametrize("stream", [True, False])
def test_ollamas_api(router: RouterProcess, stream: bool) -> None:
    answer = post(router, "/api/chat", tools=TOOLS, stream=stream)
    lines = [json.loads(line)["message"] for line in answer.text.splitlines()]
    assert "".join(line.get("content", "") for line in lines).strip() == "Let me look."
    (call,) = [call for line in lines for call in line.get("tool_calls", ())]
    assert (call["function"]["name"], call["function"]["arguments"]) == PARIS[0]


@pytest.mark.parametrize(
    "fields",
    [{"tools": TOOLS, "model": "as-they-are"}, {}, {"tools": TOOLS, "tool_choice": "none"}],
)
def test_what_passes_as_it_is(router: RouterProcess, fields: Json) -> None:
    """With the setting off, and without tools."""
    body = {"model": "ai-router", "messages": HI, **fields}
    stream = Stream(router, body).read()
    assert (stream.text, stream.finish_reasons) == ("".join(WRITTEN), ["stop"])
    assert [e["choices"][0]["delta"].get("content") for e in stream.events] == [*WRITTEN, None]
    answer = post(router, "/v1/chat/completions", **fields).json()
    assert answer["choices"][0]["message"]["content"] == "".join(WRITTEN)


def test_a_stream_that_is_cut_loses_no_text(router: RouterProcess) -> None:
    """What was held comes as it was, before the error."""
    messages = [{"role": "user", "content": "break"}]
    body = {"model": "ai-router", "messages": messages, "tools": TOOLS}
    stream = Stream(router, body).read()
    assert stream.error is not None
    text = "".join(e["choices"][0]["delta"]["content"] for e in stream.events[:-1])
    assert (text, stream.done) == ("".join(WRITTEN), False)
