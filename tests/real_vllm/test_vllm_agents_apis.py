"""Anthropic's Messages and OpenAI's Responses before a real vLLM: translated to chat, and passed on
to vLLM's own endpoints. The vendors' SDKs read the answers."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import openai
import pytest
from real_vllm.conftest import MakeRouter, ready
from real_vllm.served import Engine, Tap

from bench.router_process import RouterProcess

pytestmark = pytest.mark.real_vllm

HOW = {"model": "ai-router/primary", "max_tokens": 30, "extra_body": {"temperature": 0}}
ASK = [{"role": "user", "content": "Tell me something."}]
OFF = {"thinking": {"type": "disabled"}}
Routed = Callable[[str], RouterProcess]


@pytest.fixture(scope="module")
def routed(tap: Tap, start_router: MakeRouter) -> Routed:
    """A router whose primary gets both APIs as the setting says: `native` or `translate`."""
    made: dict[str, RouterProcess] = {}

    def start(how: str) -> RouterProcess:
        if how not in made:
            apis = {"messages": how, "responses": "pass" if how == "native" else "translate"}
            changes = {"backends": {"primary": apis}, "probes": {"enabled": False}}
            made[how] = start_router({"router": tap.url, "primary": tap.url}, changes)
            ready(made[how])
        return made[how]

    return start


@pytest.fixture(params=["translate", "native"])
def router(request: pytest.FixtureRequest, routed: Routed) -> RouterProcess:
    return routed(request.param)


def messages_of(router: RouterProcess) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=router.url, api_key="any", max_retries=0, timeout=60)


def test_a_message_and_its_stream_say_the_same(router: RouterProcess) -> None:
    client = messages_of(router)
    whole = client.messages.create(**HOW, **OFF, messages=ASK)  # type: ignore[call-overload]
    texts = [block.text for block in whole.content if block.type == "text"]
    assert whole.stop_reason == "max_tokens"
    assert whole.usage.output_tokens == 30
    with client.messages.stream(**HOW, **OFF, messages=ASK) as stream:  # type: ignore[arg-type]
        streamed = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert streamed == "".join(texts)
    assert streamed
    assert last.stop_reason == "max_tokens"
    assert last.usage.output_tokens == 30


def test_tokens_are_counted_by_vllm(router: RouterProcess, engine: Engine) -> None:
    client = messages_of(router)
    counted = client.messages.count_tokens(model="ai-router/primary", messages=ASK)  # type: ignore
    spent = client.messages.create(**HOW, messages=ASK).usage  # type: ignore[call-overload]
    assert abs(counted.input_tokens - spent.input_tokens) <= 8, "the template's own tokens"


def test_a_response_and_its_stream_say_the_same(router: RouterProcess) -> None:
    client = openai.OpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0, timeout=60)
    ask = {"model": HOW["model"], "input": "Tell me something.", "max_output_tokens": 30}
    ask |= {"temperature": 0, "store": False}
    whole = client.responses.create(**ask)  # type: ignore[call-overload]
    assert whole.status == "incomplete"
    assert whole.usage.output_tokens == 30
    kinds = []
    with client.responses.stream(**ask) as stream:
        for event in stream:
            kinds.append(event.type)
        last = stream.get_final_response() if kinds[-1] == "response.completed" else None
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.incomplete", "response.completed")
    assert last is None or last.output_text == whole.output_text
