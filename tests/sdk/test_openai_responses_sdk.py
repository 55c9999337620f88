"""OpenAI's own client library, unmodified, against the router's Responses API."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from harness import REFUSED, all_free, asked, is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function", "name": "weather", "description": "Tells it", "parameters": SCHEMA,
    "strict": True,
}  # fmt: skip
ASK = "Use the tool: how is the weather?"


def client_of(router: RouterProcess, **how: Any) -> openai.OpenAI:
    how = {"api_key": "any", "max_retries": 0, "timeout": 20, **how}
    return openai.OpenAI(base_url=f"{router.url}/v1", **how)


@pytest.fixture
def client(router: RouterProcess) -> Iterator[openai.OpenAI]:
    with client_of(router) as client:
        yield client


@pytest.mark.parametrize("model", ["ai-router", "ai-router/xai", "primary-model"])
def test_a_response_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    """Text, ids, the model's name as the client calls it, the status, counts."""
    how: dict[str, Any] = {"model": model, "input": "Hello", "instructions": "Be brief."}
    whole = client.responses.create(**how, metadata={"a": "b"})
    with client.responses.stream(**how, metadata={"a": "b"}) as stream:
        pieces = [one.delta for one in stream if one.type == "response.output_text.delta"]
        last = stream.get_final_response()
    assert len(pieces) > 5
    assert "".join(pieces) == last.output_text
    for response in (whole, last):
        assert is_whole(response.output_text)
        assert (response.model, response.status) == (model, "completed")
        assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
        assert response.usage.input_tokens > 0
        assert response.usage.output_tokens == 20
        assert response.usage.total_tokens == response.usage.input_tokens + 20
    raw = client.responses.with_raw_response.create(**how)
    assert raw.headers["x-router-route"] in ("primary", "xai")


def test_the_order_of_events(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="ai-router", input="Hello", stream=True)
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == [
        "output_text.done", "content_part.done", "output_item.done", "completed"
    ]  # fmt: skip
    assert set(kinds[4:-4]) == {"output_text.delta"}


def test_a_limit(client: openai.OpenAI) -> None:
    """A short answer says why it ended, in both forms."""
    how: dict[str, Any] = {"model": "primary-model", "input": "Hello", "max_output_tokens": 3}
    whole = client.responses.create(**how)
    *_, last = client.responses.create(**how, stream=True)
    assert last.type == "response.incomplete"
    for response in (whole, last.response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output[-1].status == "incomplete"
        assert response.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop(client: openai.OpenAI, sim: Simulator, stream: bool) -> None:
    """The call's id comes back with the result; the answer follows at the same backend."""
    given: list[Any] = [{"role": "user", "content": ASK}]
    how: dict[str, Any] = {"model": "ai-router", "tools": [WEATHER]}
    if stream:
        with client.responses.stream(input=given, **how) as events:
            turn = events.get_final_response()
    else:
        turn = client.responses.create(input=given, **how)
    call = turn.output[-1]
    assert (call.type, call.name, call.arguments) == (
        "function_call", "weather", '{"city":"simulated"}'
    )  # fmt: skip
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    given += [*turn.output, result]
    raw = client.responses.with_raw_response.create(input=given, **how)
    assert is_whole(raw.parse().output_text)
    assert raw.headers["x-router-tier"] == "conversation"
    sent = asked(sim, "primary")[-1]["messages"]
    assert sent[-2]["tool_calls"][0]["id"] == sent[-1]["tool_call_id"] == call.call_id


@pytest.mark.parametrize("stream", [False, True])
def test_custom_tools_and_those_of_a_namespace(client: openai.OpenAI, stream: bool) -> None:
    """Called as the client calls them."""
    custom = {"type": "custom", "name": "run", "description": "Runs a text"}
    space = {"type": "namespace", "name": "maps", "description": "Maps", "tools": [WEATHER]}
    found = []
    for tool in (custom, space):
        how: dict[str, Any] = {"model": "ai-router/primary", "input": ASK, "tools": [tool]}
        if stream:
            *_, last = client.responses.create(**how, stream=True)
            found.append(last.response.output[-1])
        else:
            found.append(client.responses.create(**how).output[-1])
    assert (found[0].type, found[0].name, found[0].input) == (
        "custom_tool_call", "run", "simulated"
    )  # fmt: skip
    assert (found[1].type, found[1].namespace, found[1].name) == (
        "function_call", "maps", "weather"
    )  # fmt: skip


def test_parsing(client: openai.OpenAI) -> None:
    """A schema as a class, and tools whose arguments are read."""

    class Place(pydantic.BaseModel):
        city: str

    answer = client.responses.parse(
        model="ai-router/primary", input="Where does it rain?", text_format=Place
    )
    assert isinstance(answer.output_parsed, Place)
    with client.responses.stream(
        model="ai-router/primary", input="Where does it rain?", text_format=Place
    ) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Place)
    called = client.responses.parse(
        model="ai-router/primary", input=ASK, tools=[openai.pydantic_function_tool(Place)]
    )
    assert called.output[-1].parsed_arguments == Place(city="simulated")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning(client: openai.OpenAI, sim: Simulator, stream: bool) -> None:
    """An item of its own before the text; off on demand."""
    sim.configure("primary", reasoning_field="reasoning_content")
    text = steer("Hello", primary={"think_tokens": 5})
    how: dict[str, Any] = {"model": "ai-router/primary", "input": text}

    def answered(**more: Any) -> Any:
        if not stream:
            return client.responses.create(**how, **more)
        with client.responses.stream(**how, **more) as events:
            return events.get_final_response()

    shown = answered(reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in shown.output] == ["reasoning", "message"]
    assert shown.output[0].content[0].text
    assert is_whole(shown.output_text)
    off = answered(reasoning={"effort": "none"})
    assert [item.type for item in off.output] == ["message"]
    again = [{"role": "user", "content": text}, *shown.output]
    assert is_whole(client.responses.create(model="ai-router/primary", input=again).output_text)


def test_images(client: openai.OpenAI, sim: Simulator) -> None:
    parts: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
    ]
    answer = client.responses.create(
        model="ai-router/primary", input=[{"role": "user", "content": parts}]
    )
    assert is_whole(answer.output_text)
    part = asked(sim, "primary")[-1]["messages"][-1]["content"][1]
    assert part == {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}


def test_counting_tokens(client: openai.OpenAI, sim: Simulator) -> None:
    """The backend counts; where it cannot, an estimate says about as much."""
    text = "The quick brown fox jumps over the lazy dog. " * 50
    how: dict[str, Any] = {"model": "ai-router", "input": text, "tools": [WEATHER]}
    raw = client.responses.input_tokens.with_raw_response.count(**how)
    assert raw.headers["x-router-note"] == "counted by primary"
    assert raw.parse().input_tokens > 300
    sim.fault("primary", "error_status", status=404, path="/tokenize")
    guess = client.responses.input_tokens.with_raw_response.count(**how)
    assert guess.headers["x-router-note"] == "estimated"
    assert guess.parse().input_tokens == pytest.approx(560, rel=0.25)  # of 500 words and stops


def test_a_conversation_that_is_kept(make_router: Any) -> None:
    """By the id of the response before, with its tool's call; it can be read and removed."""
    client = client_of(make_router(config={"responses": {"max_stored": 3}}))
    how: dict[str, Any] = {"model": "ai-router/primary", "tools": [WEATHER]}
    with client.responses.stream(input=ASK, **how) as events:
        first = events.get_final_response()
    assert client.responses.retrieve(first.id).output == client.responses.retrieve(first.id).output
    result: Any = {
        "type": "function_call_output", "call_id": first.output[-1].call_id, "output": "Sunny"
    }  # fmt: skip
    second = client.responses.create(previous_response_id=first.id, input=[result], **how)
    assert is_whole(second.output_text)
    assert second.previous_response_id == first.id
    third = client.responses.create(
        model="ai-router/primary", input="Thanks", previous_response_id=second.id, store=False
    )
    assert third.usage.input_tokens > second.usage.input_tokens
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(third.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as lost:
        client.responses.create(input="Hm", previous_response_id=first.id, **how)
    assert lost.value.code == "previous_response_not_found"


def test_errors_are_the_librarys_own(
    client: openai.OpenAI, make_router: Any, sim: Simulator
) -> None:
    """By status, with a sentence; within a stream as its last event."""
    parts: Any = [{"type": "hologram"}]
    with pytest.raises(openai.BadRequestError, match=r"input.0.content.0") as bad:
        client.responses.create(model="ai-router", input=[{"role": "user", "content": parts}])
    assert (bad.value.type, bad.value.param) == ("invalid_request_error", "input.0.content.0")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-17", input="Hi")
    sim.fault("xai", "error_status", status=429)
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model="ai-router/xai", input="Hello")
    sim.clear_faults("xai")
    cut = steer("Hello", xai={"fault": "cut"})
    *_, last = client.responses.create(model="ai-router/xai", input=cut, stream=True)
    assert last.type == "response.failed"
    assert last.response.error.code == "server_error"
    guarded = make_router(
        config={"queue": {"hold_wait": 0.1}},
        env={"API_KEY": "right"},
        urls={"primary": REFUSED},
        warm=False,
    )
    with pytest.raises(openai.AuthenticationError):
        client_of(guarded, api_key="wrong").responses.create(model="ai-router", input="Hi")
    with pytest.raises(openai.InternalServerError):
        client_of(guarded, api_key="right").responses.create(model="ai-router/primary", input="Hi")


def test_a_stream_that_waits_and_one_that_is_left(
    impatient_router: RouterProcess, router: RouterProcess, sim: Simulator
) -> None:
    """What keeps a connection alive is not seen; closing a stream early frees its backend."""
    text = steer("Hello", primary={"ttft_ms": 700})
    with client_of(impatient_router).responses.stream(
        model="ai-router/primary", input=text
    ) as stream:
        assert is_whole(stream.get_final_response().output_text)

    async def leave() -> None:
        slow = steer("Hello", primary={"tokens": 500, "tps": 20})
        there = openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any")
        async with there.responses.stream(model="ai-router/primary", input=slow) as events:
            async for event in events:
                if event.type == "response.output_text.delta":
                    break
        await there.close()

    asyncio.run(leave())
    sim.wait_for("primary", aborted=1)
    all_free(router)
