"""The official OpenAI client library and curl, unmodified, against the router."""

from __future__ import annotations

import base64
import json
import math
import shutil
import struct
import subprocess
from collections.abc import Iterator

import openai
import pytest
from harness import REFUSED, all_free, is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "Tells it", "parameters": CITY},
    }
]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def client(router: RouterProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=router.url + "/v1", api_key="any", max_retries=0, timeout=20
    ) as client:
        yield client


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_whole_answer(client: openai.OpenAI) -> None:
    """A completion parses into the library's types, usage included."""
    answer = client.chat.completions.create(model="ai-router", messages=user("Hello"))
    assert is_whole(answer.choices[0].message.content)
    assert (answer.choices[0].finish_reason, answer.choices[0].message.role) == (
        "stop",
        "assistant",
    )
    assert answer.usage.completion_tokens == 20
    raw = client.chat.completions.with_raw_response.create(
        model="ai-router", messages=user("Hello")
    )
    assert raw.headers["X-Router-Route"] == "primary"


@pytest.mark.parametrize("label", ["MODERATE", "COMPLEX", "ENRICH"])
def test_a_stream(client: openai.OpenAI, label: str) -> None:
    """A stream yields its chunks and ends by itself; no usage chunk comes unasked."""
    chunks = list(
        client.chat.completions.create(
            model="ai-router", messages=user(steer("Hm?", router={"label": label})), stream=True
        )
    )
    assert is_whole("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_usage_of_a_stream(client: openai.OpenAI, wanted: bool) -> None:
    """stream_options.include_usage gives one last chunk with usage and no choice; without it there
    is none."""
    stream = client.chat.completions.create(
        model="ai-router",
        messages=user("Hello"),
        stream=True,
        stream_options={"include_usage": wanted},
    )
    with_usage = [chunk for chunk in stream if chunk.usage is not None]
    assert len(with_usage) == int(wanted)
    if wanted:
        assert with_usage[0].choices == []
        assert with_usage[0].usage.completion_tokens == 20


def test_a_stream_that_is_left(
    client: openai.OpenAI, router: RouterProcess, sim: Simulator
) -> None:
    """Closing a stream early frees its backend."""
    text = steer("Hello", primary={"tokens": 500, "tps": 20})
    with client.chat.completions.create(
        model="ai-router/primary", messages=user(text), stream=True
    ) as stream:
        for _ in zip(range(5), stream, strict=False):
            pass
    sim.wait_for("primary", aborted=1)
    all_free(router)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(client: openai.OpenAI, stream: bool) -> None:
    """A tool call, its result, and the answer to it."""
    messages = user("Use the tool: how is the weather?")
    if stream:
        name, arguments, call_id = "", "", ""
        for chunk in client.chat.completions.create(
            model="ai-router", messages=messages, tools=TOOLS, stream=True
        ):
            for part in chunk.choices[0].delta.tool_calls or ():
                call_id, name = part.id or call_id, part.function.name or name
                arguments += part.function.arguments or ""
        call = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    else:
        answer = client.chat.completions.create(model="ai-router", messages=messages, tools=TOOLS)
        assert answer.choices[0].finish_reason == "tool_calls"
        turn = answer.choices[0].message.model_dump(exclude_none=True)
        name, arguments, call_id = (
            "weather",
            turn["tool_calls"][0]["function"]["arguments"],
            turn["tool_calls"][0]["id"],
        )
    assert (name, json.loads(arguments)) == ("weather", {"city": "simulated"})
    result = {"role": "tool", "tool_call_id": call_id, "content": "Sunny"}
    answer = client.chat.completions.create(
        model="ai-router", messages=[*messages, turn, result], tools=TOOLS
    )
    assert is_whole(answer.choices[0].message.content)


def test_several_choices_with_log_probabilities(client: openai.OpenAI) -> None:
    """n > 1 and logprobs, whole and streamed."""
    answer = client.chat.completions.create(
        model="ai-router", messages=user("Hello"), n=3, logprobs=True, top_logprobs=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(answer.choices[1].logprobs.content[0].top_logprobs) == 2
    chunks = list(
        client.chat.completions.create(
            model="ai-router", messages=user("Hello"), n=2, logprobs=True, stream=True
        )
    )
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    assert any(chunk.choices[0].logprobs for chunk in chunks)


def test_embeddings_in_both_encodings(client: openai.OpenAI, router: RouterProcess) -> None:
    """The library asks for base64 by itself and decodes it; asking for floats gives the same
    vectors."""
    by_default = client.embeddings.create(model="ai-router", input=["a house", "a garden"])
    floats = client.embeddings.create(
        model="ai-router", input=["a house", "a garden"], encoding_format="float"
    )
    for one, other in zip(by_default.data, floats.data, strict=True):
        assert all(
            math.isclose(a, b, abs_tol=1e-6)
            for a, b in zip(one.embedding, other.embedding, strict=True)
        )
    raw = router.post("/v1/embeddings", {"input": "a house", "encoding_format": "base64"}).json()[
        "data"
    ][0]["embedding"]
    assert len(struct.unpack(f"<{len(base64.b64decode(raw)) // 4}f", base64.b64decode(raw))) == len(
        floats.data[0].embedding
    )
    assert by_default.usage.prompt_tokens > 0


def test_text_completions(client: openai.OpenAI) -> None:
    """The older endpoint, whole and streamed."""
    assert is_whole(
        client.completions.create(model="ai-router", prompt="Once upon a time").choices[0].text
    )
    assert is_whole(
        "".join(
            chunk.choices[0].text
            for chunk in client.completions.create(model="ai-router", prompt="Once", stream=True)
        )
    )


def test_the_models(client: openai.OpenAI) -> None:
    """The list and a single model."""
    names = [model.id for model in client.models.list()]
    assert names[0] == "ai-router"
    assert client.models.retrieve("ai-router/primary").id == "ai-router/primary"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (401, openai.InternalServerError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_librarys_own(
    client: openai.OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    """Each error arrives as the exception class that the library has for it (a key of ours that is
    wrong: as a server's error)."""
    text = steer("Hello", primary={"fault": {"name": "error_status", "status": status}})
    with pytest.raises(kind) as caught:
        client.chat.completions.create(
            model="ai-router/primary", messages=user(text), stream=stream
        )
    assert caught.value.status_code == (502 if status == 401 else status)
    assert caught.value.body["message"]


def test_errors_of_our_own(client: openai.OpenAI, make_router, sim: Simulator) -> None:
    """An unknown model, a wrong type, a missing key and a dead backend are told apart by class and
    code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-17", messages=user("Hello"))
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="ai-router", messages="Hello")
    assert refused.value.param == "messages"
    guarded = make_router(env={"API_KEY": "right"}, warm=False)
    with (
        openai.OpenAI(base_url=guarded.url + "/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()
    dead = make_router(
        urls={"primary": REFUSED},
        warm=False,
        config={"backends": {"primary": {"model": "m"}}, "queue": {"hold_wait": 0.2}},
    )
    with (
        openai.OpenAI(base_url=dead.url + "/v1", api_key="x", max_retries=0) as lost,
        pytest.raises(openai.InternalServerError) as gone,
    ):
        lost.chat.completions.create(model="ai-router/primary", messages=user("Hello"))
    assert (gone.value.status_code, gone.value.code) == (502, "upstream_unreachable")


def test_an_error_in_mid_stream_is_raised(client: openai.OpenAI) -> None:
    """A stream that breaks off raises, after what had come."""
    text = steer("Hello", xai={"fault": "cut"})
    stream = client.chat.completions.create(model="ai-router/xai", messages=user(text), stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(4)][1:]
    with pytest.raises(openai.APIError):
        list(stream)


def test_comments_do_not_confuse_it(impatient_router: RouterProcess) -> None:
    """A stream opened with comments is read like any other."""
    with openai.OpenAI(
        base_url=impatient_router.url + "/v1", api_key="any", max_retries=0
    ) as client:
        text = steer("Hello", primary={"ttft_ms": 700})
        chunks = list(
            client.chat.completions.create(
                model="ai-router/primary", messages=user(text), stream=True
            )
        )
    assert is_whole("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


def test_its_retries_help_where_they_can(router: RouterProcess, sim: Simulator) -> None:
    """A 429 with Retry-After is repeated by the library and then answered."""
    with openai.OpenAI(base_url=router.url + "/v1", api_key="any", max_retries=2) as client:
        fault = {"name": "error_status", "status": 429, "retry_after": 1, "times": 1}
        answer = client.chat.completions.create(
            model="ai-router/primary", messages=user(steer("Again?", primary={"fault": fault}))
        )
    assert is_whole(answer.choices[0].message.content)
    assert sim.stats("primary")["started"] == 2


def test_its_retries_are_called_off_where_they_cannot_help(
    router: RouterProcess, sim: Simulator
) -> None:
    """When every backend has failed the answer tells the library not to multiply the attempts."""
    with (
        openai.OpenAI(base_url=router.url + "/v1", api_key="any", max_retries=5) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(
            model="ai-router/primary", messages=user(steer("Hello", primary={"fault": "html"}))
        )
    assert (
        sim.stats("primary")["started"] <= 2
    )  # the router itself may try a backend once more; the library does not


def curl(router: RouterProcess, *options: str) -> bytes:
    """What curl prints of a chat request with these options."""
    url = f"{router.url}/v1/chat/completions"
    command = ["curl", "--silent", "--max-time", "20", url, *options]
    return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout


@needs_curl
def test_curl_gets_a_whole_answer(router: RouterProcess, sim: Simulator) -> None:
    """The README's curl works as it stands."""
    data = json.dumps({"model": "ai-router", "messages": user("Hello")})
    answer = json.loads(curl(router, "-H", "Content-Type: application/json", "-d", data))
    assert is_whole(answer["choices"][0]["message"]["content"])


@needs_curl
def test_curl_gets_a_stream(router: RouterProcess, sim: Simulator) -> None:
    """curl -N shows events and [DONE]; -i shows the event stream's headers."""
    data = json.dumps({"messages": user("Hello"), "stream": True})
    printed = curl(router, "-Ni", "--json", data).decode()
    assert "content-type: text/event-stream" in printed.lower()
    assert printed.rstrip().endswith("data: [DONE]")


@needs_curl
def test_curl_without_a_content_type_is_told_what_to_do(router: RouterProcess) -> None:
    """curl -d alone sends a form; the error says what is missing."""
    answer = json.loads(curl(router, "-d", '{"messages": []}'))
    assert "Content-Type: application/json" in answer["error"]["message"]
