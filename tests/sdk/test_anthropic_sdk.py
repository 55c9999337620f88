"""Anthropic's own client library, unmodified, against the router."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from harness import REFUSED, all_free, asked, is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()  # its beginning: nothing reads it
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def client_of(router: RouterProcess, **how: Any) -> anthropic.Anthropic:
    how = {"api_key": "any", "max_retries": 0, "timeout": 20, **how}
    return anthropic.Anthropic(base_url=router.url, **how)


@pytest.fixture
def client(router: RouterProcess) -> anthropic.Anthropic:
    return client_of(router)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("model", ["ai-router", "claude-opus-4-8", "ai-router/xai"])
def test_a_message_whole_and_streamed(client: anthropic.Anthropic, model: str) -> None:
    """Text, ids, the model's name as the client calls it, the reason, counts."""
    whole = client.messages.create(model=model, max_tokens=200, messages=user("Hello"))
    with client.messages.stream(model=model, max_tokens=200, messages=user("Hello")) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message()
    assert len(pieces) > 5
    assert "".join(pieces) == text_of(last)
    for message in (whole, last):
        assert is_whole(text_of(message))
        assert message.id.startswith("msg_")
        assert (message.model, message.role, message.stop_reason) == (
            model,
            "assistant",
            "end_turn",
        )
        assert message.usage.input_tokens > 0
        assert message.usage.output_tokens == 20
    assert whole._request_id == f"req_{whole.id[4:]}"


def test_the_order_of_events(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(
        model="ai-router", max_tokens=100, messages=user("Hello"), stream=True
    )
    kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_limits_and_stop_sequences(client: anthropic.Anthropic) -> None:
    """A short answer says why it ended."""
    model = "ai-router/primary"
    cut = client.messages.create(model="primary-model", max_tokens=3, messages=user("Hello"))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    asked_for = steer("Hello", primary={"text": "one two three"})
    ended = client.messages.create(
        model=model, max_tokens=99, messages=user(asked_for), stop_sequences=["two"]
    )
    assert text_of(ended).strip() == "one"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop(client: anthropic.Anthropic, sim: Simulator, stream: bool) -> None:
    """The call's id comes back with the result; the answer follows at the same backend."""
    messages = user("Use the tool: how is the weather?")
    how: dict[str, Any] = {"model": "claude-sonnet", "max_tokens": 300, "tools": [WEATHER]}
    if stream:
        with client.messages.stream(messages=messages, **how) as events:
            turn = events.get_final_message()
    else:
        turn = client.messages.create(messages=messages, **how)
    call = turn.content[-1]
    assert call.type == "tool_use"
    assert (call.name, call.input, turn.stop_reason) == (
        "weather", {"city": "simulated"}, "tool_use"
    )  # fmt: skip
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}
    messages += [
        {"role": "assistant", "content": turn.content},
        {"role": "user", "content": [result]},
    ]
    raw = client.messages.with_raw_response.create(messages=messages, **how)
    assert is_whole(text_of(raw.parse()))
    assert raw.headers["x-router-tier"] == "conversation"
    sent = asked(sim, "primary")[-1]["messages"]
    assert sent[-2]["tool_calls"][0]["id"] == sent[-1]["tool_call_id"] == call.id


def test_the_librarys_tool_runner(client: anthropic.Anthropic) -> None:
    """Which calls the functions itself."""
    called = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: where
        """
        called.append(city)
        return f"Sunny in {city}"

    runner = client.beta.messages.tool_runner(
        model="claude-sonnet",
        max_tokens=300,
        messages=user("Use the tool: how is the weather?"),
        tools=[weather],
    )
    last = runner.until_done()
    assert called == ["simulated"]
    assert is_whole("".join(block.text for block in last.content if block.type == "text"))


def test_thinking(client: anthropic.Anthropic, sim: Simulator) -> None:
    """Blocks of their own for one who asks for them; else not shown; off on demand."""
    sim.configure("primary", reasoning_field="reasoning_content")
    messages = user(steer("Hello", primary={"think_tokens": 5}))
    how: dict[str, Any] = {"model": "ai-router/primary", "max_tokens": 2000, "messages": messages}
    shown = client.messages.create(**how, thinking={"type": "adaptive"})
    assert [block.type for block in shown.content] == ["thinking", "text"]
    with client.messages.stream(
        **how, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].thinking == shown.content[0].thinking
    assert is_whole(text_of(streamed))
    hidden = client.messages.create(**how)
    assert [block.type for block in hidden.content] == ["text"]
    off = client.messages.create(**how, thinking={"type": "disabled"})
    assert off.usage.output_tokens == hidden.usage.output_tokens - 5


def test_images(client: anthropic.Anthropic, sim: Simulator) -> None:
    """In base64 and by their address, in a message and in a tool's result."""
    inline = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    blocks = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": inline},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]
    answer = client.messages.create(
        model="ai-router/primary", max_tokens=200, messages=[{"role": "user", "content": blocks}]
    )
    assert is_whole(text_of(answer))
    parts = asked(sim, "primary")[-1]["messages"][-1]["content"]
    assert [part["image_url"]["url"] for part in parts[1:]] == [
        f"data:image/png;base64,{PIXEL}", "https://example.org/a.png"
    ]  # fmt: skip


def test_a_schema(client: anthropic.Anthropic) -> None:
    schema = {**WEATHER["input_schema"], "additionalProperties": False}
    answer = client.messages.create(
        model="ai-router/primary",
        max_tokens=200,
        messages=user("Where does it rain?"),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert '"city"' in text_of(answer)


def test_counting_tokens(client: anthropic.Anthropic, sim: Simulator, make_router: Any) -> None:
    """The backend counts; where it cannot, an estimate says about as much."""
    text = "The quick brown fox jumps over the lazy dog. " * 50
    how: dict[str, Any] = {
        "model": "claude-opus-4-8", "system": "Be brief.", "tools": [WEATHER],
        "messages": user(text),
    }  # fmt: skip
    raw = client.messages.with_raw_response.count_tokens(**how)
    counted = raw.parse().input_tokens
    assert (raw.headers["x-router-note"], counted > 300) == ("counted by primary", True)
    sim.fault("primary", "error_status", status=404, path="/tokenize")
    guess = client.messages.with_raw_response.count_tokens(**how)
    assert guess.headers["x-router-note"] == "estimated"
    assert guess.parse().input_tokens == pytest.approx(560, rel=0.25)  # of 500 words and stops


def test_models(client: anthropic.Anthropic) -> None:
    """In Anthropic's form, and only for its clients."""
    models = client.models.list()
    names = [model.id for model in models]
    assert {"ai-router", "ai-router/primary", "primary-model"} <= set(names)
    one = client.models.retrieve("ai-router/primary")
    assert (one.type, one.display_name, one.lifecycle) == ("model", "ai-router/primary", "active")
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("gpt-17")


def test_errors_are_the_librarys_own(
    client: anthropic.Anthropic, make_router: Any, sim: Simulator
) -> None:
    """By status, with their type and a sentence; within a stream as an event."""
    how: dict[str, Any] = {"model": "ai-router/primary", "max_tokens": 9}
    blocks: list[Any] = [{"type": "hologram"}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages.0.content.0") as bad:
        client.messages.create(**how, messages=[{"role": "user", "content": blocks}])
    assert bad.value.body["error"]["type"] == "invalid_request_error"
    assert bad.value.body["request_id"].startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match="moon"):
        client.messages.create(max_tokens=9, model="ai-router/moon", messages=user("Hi"))
    sim.fault("xai", "error_status", status=429)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="ai-router/xai", max_tokens=9, messages=user("Hello"))
    sim.clear_faults("xai")
    cut = client.messages.create(
        model="ai-router/xai",
        max_tokens=99,
        messages=user(steer("Hello", xai={"fault": "cut"})),
        stream=True,
    )
    kinds = []
    with pytest.raises(anthropic.APIStatusError, match="backend"):
        kinds += [event.type for event in cut]
    guarded = make_router(
        config={"queue": {"hold_wait": 0.1}},
        env={"API_KEY": "right"},
        urls={"primary": REFUSED},
        warm=False,
    )
    with pytest.raises(anthropic.AuthenticationError) as wrong:
        client_of(guarded, api_key="wrong").models.list()
    assert wrong.value.body["error"]["type"] == "authentication_error"
    for key in ({"api_key": "right"}, {"auth_token": "right", "api_key": None}):
        assert client_of(guarded, **key).models.list().data
    with pytest.raises(anthropic.APIStatusError) as down:
        client_of(guarded, api_key="right").messages.create(**how, messages=user("Hi"))
    assert down.value.body["error"]["type"] in ("api_error", "overloaded_error")


def test_a_stream_that_waits_and_one_that_is_left(
    impatient_router: RouterProcess, router: RouterProcess, sim: Simulator
) -> None:
    """What keeps a connection alive is not seen; closing a stream early frees its backend."""
    text = steer("Hello", primary={"ttft_ms": 700})
    how: dict[str, Any] = {"model": "ai-router/primary", "max_tokens": 2000}
    with client_of(impatient_router).messages.stream(**how, messages=user(text)) as stream:
        assert is_whole(stream.get_final_text())

    async def leave() -> None:
        slow = steer("Hello", primary={"tokens": 500, "tps": 20})
        there = anthropic.AsyncAnthropic(base_url=router.url, api_key="any")
        async with there.messages.stream(**how, messages=user(slow)) as events:
            async for _ in events.text_stream:
                break
        await there.close()

    asyncio.run(leave())
    sim.wait_for("primary", aborted=1)
    all_free(router)
