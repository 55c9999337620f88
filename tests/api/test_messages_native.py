"""Backends that speak Anthropic's Messages API themselves: requests and answers pass as they are,
and fail over to backends that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
import requests
from harness import session_file
from scripted_backend import Asked, ScriptedBackend

from bench.router_process import RouterProcess
from tests import claude_code
from tests.dialects.anthropic_events import events_of, message_of
from tests.native_messages import BLOCKS, HEAD, Json, native, stream_of

Start = Callable[..., tuple[RouterProcess, list[ScriptedBackend]]]
TEXT = ({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in "abc"])
WHOLE = orjson.dumps({**HEAD, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "x"})
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.fixture
def start(make_router: Callable[..., RouterProcess]) -> Iterator[Start]:
    """A router before scripted backends in this order: (script, settings)."""
    with ExitStack() as stack:

        def begin(*backends: tuple[Any, Json]) -> tuple[RouterProcess, list[ScriptedBackend]]:
            scripted = [stack.enter_context(ScriptedBackend(script)) for script, _ in backends]
            names = ["primary", "second"][: len(scripted)]
            plain = {"model": "m", "date_context": False}
            pairs = zip(scripted, backends, strict=True)
            specs = [{**plain, "url": backend.url, **own} for backend, (_, own) in pairs]
            config = {
                "backends": dict(zip(names, specs, strict=True)),
                "routes": {"primary": {"backends": names}},
                "cascade": {"tiers": ["rules"]},
                "speculation": {"enabled": False},
                "probes": {"enabled": False},
            }
            return make_router(config=config, backends=(), warm=False), scripted

        yield begin


def send(router: RouterProcess, payload: Json, path: str = "") -> requests.Response:
    headers = {**claude_code.HEADERS, "x-api-key": "the client's own"}
    return requests.post(
        f"{router.url}/v1/messages{path}", json=payload, headers=headers, timeout=20
    )


def asking(**fields: Any) -> Json:
    return {"model": "claude-x", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}],
            **fields}  # fmt: skip


def turn(**fields: Any) -> Json:
    """With all that a chat completion cannot express."""
    thought = {"type": "thinking", "thinking": "Hm", "signature": "signed"}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [thought, claude_code.text("Hello")]},
        {"role": "user", "content": [claude_code.text("Go on", **claude_code._CACHED)]},
    ]
    asked = claude_code.turn(messages=messages, thinking={"type": "enabled"}, **fields)
    return {**asked, "tools": [*asked["tools"], WEB_SEARCH]}


def answers(asked: Asked) -> None:
    """With all kinds of blocks, or text alone."""
    if asked.body.get("stream"):
        asked.stream(finish=False)
        asked.raw(stream_of(BLOCKS))
    else:
        asked.answer(WHOLE)


@pytest.mark.parametrize("stream", [False, True])
def test_a_vendor_gets_and_gives_what_the_client_would(start: Start, stream: bool) -> None:
    """Signatures, marks, tools that run there, the beta flags; the router's own key."""
    seen: list[Asked] = []

    def script(asked: Asked) -> None:
        seen.append(asked)
        answers(asked)

    vendor = {"kind": "anthropic", "local": False, "api_key": "ours"}
    router, backends = start((script, vendor))
    payload = turn(stream=stream)
    answer = send(router, payload)
    assert answer.content == (stream_of(BLOCKS) if stream else WHOLE)
    assert backends[0].asked == [{**payload, "model": "m"}]
    headers = seen[0].headers
    assert headers["anthropic-beta"] == claude_code.HEADERS["anthropic-beta"]
    assert (headers["x-api-key"], headers["Authorization"]) == ("ours", None)
    said = answer.headers["X-Router-Adjusted"]
    assert said == "model=claude-opus-4-8 read as ai-router"
    document = session_file(router, answer.headers["X-Router-Session"])
    assert document["usage"]["completion_tokens"] == (7 if stream else 1)


def test_a_local_server_gets_what_its_prefix_cache_can_keep(start: Start) -> None:
    """No billing line, no marks; a schema's own property of that name stays. Unless switched
    off."""
    schema = {"type": "object", "properties": {"cache_control": {"type": "string"}}}
    tool = {"name": "t", "input_schema": schema, "cache_control": {"type": "ephemeral"}}
    clock = "Current time: 12:03:55"
    system = [claude_code.billing(), claude_code.text(f"You are.\n{clock}\nYou help.")]
    payload = asking(system=system, tools=[tool], stream=True)
    for guard in (True, False):
        spec = {"kind": "vllm", "messages": "native", "prefix_guard": guard}
        router, backends = start((answers, spec))
        answer = send(router, payload)
        assert answer.content == stream_of(BLOCKS)
        sent = backends[0].asked[-1]
        if not guard:
            assert sent == {**payload, "model": "m"}
            continue
        assert sent["system"] == [claude_code.text("You are.\nYou help.")]
        assert sent["messages"][-1]["content"] == f"Hi\n\n{clock}"
        assert sent["tools"] == [{"name": "t", "input_schema": schema}]
        assert "billing line left out" in answer.headers["X-Router-Adjusted"]
        assert "clock" in answer.headers["X-Router-Adjusted"]


def test_a_failure_is_made_good_by_a_backend_that_does_not_speak_it(start: Start) -> None:
    """Before the first content, and in the middle of a text."""

    def fails(asked: Asked) -> None:
        assert asked.path == "/v1/messages"
        if "late" in asked.body["messages"][-1]["content"]:
            asked.stream(finish=False)
            asked.raw(stream_of([TEXT]).partition(b"event: content_block_stop")[0])
        else:
            asked.stream(finish=False)
            asked.raw(native({"type": "message_start", "message": HEAD}))

    def helps(asked: Asked) -> None:
        assert asked.path == "/v1/chat/completions"
        asked.stream(*("abcd"[len(asked.prefill or "") :]))

    plain = {"kind": "openai", "continues": "prefill"}
    router, _ = start((fails, {"kind": "vllm", "messages": "native"}), (helps, plain))
    for said, header in (("early", "second"), ("late", "primary")):
        asked = asking(stream=True, messages=[{"role": "user", "content": said}])
        answer = send(router, asked)
        assert answer.headers["X-Router-Backend"] == header
        assert message_of(answer.content)["content"] == [{"type": "text", "text": "abcd"}]
        assert events_of(answer.content)[-1]["type"] == "message_stop"


def test_one_that_is_to_get_translations(start: Start) -> None:
    """The kind `anthropic` can be told to, and the other kinds are by default."""

    def script(asked: Asked) -> None:
        if asked.path == "/v1/messages":
            assert "thinking" not in asked.body
            asked.answer(WHOLE)
        else:
            asked.refuse(503, "no")

    spec = {"kind": "anthropic", "messages": "translate"}
    router, _ = start(({}.get, {"kind": "vllm"}), (script, spec))
    answer = send(router, asking(thinking={"type": "adaptive"}))
    assert answer.json()["id"] != HEAD["id"]
    assert answer.json()["content"] == [{"type": "text", "text": "Hi"}]


def test_it_counts_tokens_itself(start: Start) -> None:
    def counts(asked: Asked) -> None:
        assert asked.path == "/v1/messages/count_tokens"
        asked.answer(b'{"input_tokens": 1234}')

    router, backends = start((counts, {"kind": "openai", "messages": "native"}))
    payload = {"model": "claude-x", "messages": [{"role": "user", "content": "Hi"}]}
    answer = send(router, payload, "/count_tokens")
    assert answer.json() == {"input_tokens": 1234}
    assert answer.headers["X-Router-Note"] == "counted by primary"
    assert backends[0].asked == [{**payload, "model": "m"}]
