"""Ollama's own client library and LangChain's, unmodified, against the router."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import ollama
import pytest
from harness import REFUSED, all_free, is_whole, steer
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

PLACE = {
    "title": "place",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def weather(city: str) -> str:
    """Tells the weather.

    Args:
        city: where
    """
    return f"Sunny in {city}"


@pytest.fixture
def client(router: RouterProcess) -> ollama.Client:
    return ollama.Client(host=router.url, timeout=20)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", ["ai-router", "ai-router:latest", "ai-router/xai:latest"])
def test_a_chat_whole_and_streamed(client: ollama.Client, model: str) -> None:
    """Text, counts and durations; a stream's last line has them."""
    whole = client.chat(model, messages=user("Hello"), options={"temperature": 0, "num_ctx": 4096})
    assert is_whole(whole.message.content)
    pieces = list(client.chat(model, messages=user("Hello"), stream=True))
    assert is_whole("".join(piece.message.content for piece in pieces))
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    for last in (whole, pieces[-1]):
        assert (last.done_reason, last.eval_count) == ("stop", 20)
        assert last.prompt_eval_count > 0
        assert last.total_duration >= last.eval_duration > 0
    assert pieces[-1].prompt_eval_duration > 0


def test_reasoning_is_shown_or_not(client: ollama.Client, sim: Simulator) -> None:
    """As `thinking`, apart from the content; `think=False` switches it off."""
    sim.configure("primary", reasoning_field="reasoning_content")
    text = steer("Hello", primary={"think_tokens": 5})
    for think in (None, True):
        whole = client.chat("ai-router/primary", messages=user(text), think=think)
        pieces = list(
            client.chat("ai-router/primary", messages=user(text), think=think, stream=True)
        )
        assert whole.message.thinking
        thought = "".join(piece.message.thinking or "" for piece in pieces)
        assert thought == whole.message.thinking
        assert is_whole("".join(piece.message.content for piece in pieces))
    pieces = list(client.chat("ai-router/primary", messages=user(text), think=False, stream=True))
    assert not any(piece.message.thinking for piece in pieces)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(client: ollama.Client, sim: Simulator, stream: bool) -> None:
    """A call with its arguments as an object, its result by name, and the answer to it."""
    messages = user("Use the tool: how is the weather?")
    answer = client.chat("ai-router", messages=messages, tools=[weather], stream=stream)
    turns = list(answer) if stream else [answer]
    turn = next(piece.message for piece in turns if piece.message.tool_calls)
    call = turn.tool_calls[0].function
    assert (call.name, call.arguments) == ("weather", {"city": "simulated"})
    result = {"role": "tool", "tool_name": "weather", "content": weather(**call.arguments)}
    last = client.chat("ai-router", messages=[*messages, turn, result], tools=[weather])
    assert is_whole(last.message.content)


def test_generating_and_embedding(client: ollama.Client) -> None:
    """One prompt, with the model's template and without; vectors of one text and of two."""
    answer = client.generate("ai-router", "Hello", system="Be brief.", images=[PIXEL])
    assert is_whole(answer.response)
    pieces = list(client.generate("ai-router", "Once", raw=True, stream=True))
    assert is_whole("".join(piece.response for piece in pieces))
    assert pieces[-1].eval_count > 0
    two = client.embed("ai-router", ["a house", "a garden"])
    assert len(two.embeddings) == 2
    assert two.prompt_eval_count > 0
    one = client.embed("ai-router", "a house").embeddings
    assert list(client.embeddings("ai-router", "a house").embedding) == list(one[0])


def test_models_and_loading(client: ollama.Client) -> None:
    """What is listed can be shown, loaded, and is running."""
    names = [model.model for model in client.list().models]
    assert {"ai-router:latest", "ai-router/primary:latest", "primary-model:latest"} <= set(names)
    for name in names:
        assert client.show(name).capabilities
    loaded = client.generate("ai-router:latest")
    assert (loaded.done_reason, loaded.response) == ("load", "")
    assert client.chat("ai-router", keep_alive=0).done_reason == "unload"
    assert "ai-router:latest" in [model.model for model in client.ps().models]


def test_errors_are_the_librarys_own(client: ollama.Client, make_router, sim: Simulator) -> None:
    """With the status before the answer, as a line within it; the text is one sentence."""
    with pytest.raises(ollama.ResponseError, match="gpt-17") as unknown:
        client.chat("gpt-17", messages=user("Hello"))
    assert unknown.value.status_code == 404
    cut = client.chat(
        "ai-router/xai", messages=user(steer("Hello", xai={"fault": "cut"})), stream=True
    )
    assert next(cut).message.content
    with pytest.raises(ollama.ResponseError, match="backend"):
        list(cut)
    with pytest.raises(ollama.ResponseError, match="does not manage models"):
        client.pull("llama3.2")
    guarded = make_router(env={"API_KEY": "right"}, urls={"primary": REFUSED}, warm=False)
    with pytest.raises(ollama.ResponseError, match="API key"):
        ollama.Client(host=guarded.url).list()
    holder = ollama.Client(host=guarded.url, headers={"Authorization": "Bearer right"})
    assert holder.list().models


def test_a_stream_that_waits_and_one_that_is_left(
    impatient_router: RouterProcess, router: RouterProcess, sim: Simulator
) -> None:
    """What keeps a connection alive is not seen; closing a stream early frees its backend."""
    text = steer("Hello", primary={"ttft_ms": 700})
    patient = ollama.Client(host=impatient_router.url)
    pieces = list(patient.chat("ai-router/primary", messages=user(text), stream=True))
    assert is_whole("".join(piece.message.content for piece in pieces))

    async def leave() -> None:
        asked = ollama.AsyncClient(host=router.url)
        slow = steer("Hello", primary={"tokens": 500, "tps": 20})
        stream = await asked.chat("ai-router/primary", messages=user(slow), stream=True)
        async for _ in stream:
            break
        await stream.aclose()
        await asked.close()

    asyncio.run(leave())
    sim.wait_for("primary", aborted=1)
    all_free(router)


def test_langchain(router: RouterProcess) -> None:
    """Chat, stream, tools, a schema, embeddings and plain generation."""
    chat = ChatOllama(model="ai-router:latest", base_url=router.url, temperature=0, num_predict=64)
    answer = chat.invoke("Hello")
    assert is_whole(answer.content)
    assert answer.usage_metadata["output_tokens"] == 20
    assert is_whole("".join(piece.content for piece in chat.stream("Hello")))
    able, question = chat.bind_tools([weather]), HumanMessage("Use the tool: how is the weather?")
    turn = able.invoke([question])
    call = turn.tool_calls[0]
    assert (call["name"], call["args"]) == ("weather", {"city": "simulated"})
    result = ToolMessage("Sunny", tool_call_id=call["id"])
    assert is_whole(able.invoke([question, turn, result]).content)
    place = chat.with_structured_output(PLACE).invoke("Where does it rain?")
    assert isinstance(place["city"], str)
    embedder = OllamaEmbeddings(model="ai-router", base_url=router.url)
    assert len(embedder.embed_documents(["a house", "a garden"])) == 2
    assert is_whole(OllamaLLM(model="ai-router", base_url=router.url).invoke("Hello"))
