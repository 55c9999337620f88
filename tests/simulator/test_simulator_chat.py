"""Chat completions: answers, streams, limits, tools, constraints, labels."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from simulator.client import chat, chat_body, content, events, post, streamed_text
from simulator.testing import Simulator, answer_numbers

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.mark.parametrize("role", ["primary", "xai", "ollama"])
def test_a_stream_says_what_the_whole_answer_says(sim: Simulator, role: str) -> None:
    whole = chat(sim, role, "tell me something")
    chunks = events(chat(sim, role, "tell me something", stream=True))
    assert streamed_text(chunks) == content(whole)
    assert "simulated" in content(whole)
    assert answer_numbers(content(whole)) == list(range(1, 13))
    assert whole.json()["usage"]["completion_tokens"] == 20
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in chunks)
    role_only = chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert role_only == (role != "ollama")


def test_usage_in_a_stream_comes_when_asked_for(sim: Simulator) -> None:
    last = events(chat(sim, "primary", "hi", stream=True, stream_options={"include_usage": True}))[
        -1
    ]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 20


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_limits(sim: Simulator, field: str) -> None:
    answer = chat(sim, "primary", "hi", **{field: 3}).json()
    assert answer["choices"][0]["message"]["content"] == "This is a"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_stop(sim: Simulator) -> None:
    assert content(chat(sim, "primary", "hi", stop=[" simulated"])) == "This is a"


def test_several_choices(sim: Simulator) -> None:
    whole = chat(sim, "primary", "hi", n=2).json()["choices"]
    chunks = events(chat(sim, "primary", "hi", n=2, stream=True))
    assert [streamed_text(chunks, i) for i in (0, 1)] == [
        choice["message"]["content"] for choice in whole
    ]
    assert whole[0]["message"]["content"] != whole[1]["message"]["content"]


def test_tool_calls(sim: Simulator) -> None:
    whole = chat(sim, "primary", "please use the tool", tools=TOOLS).json()["choices"][0]
    assert (whole["finish_reason"], whole["message"]["content"]) == ("tool_calls", None)
    call = whole["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("look_up", {"city": "simulated"})
    chunks = events(chat(sim, "primary", "hi", tools=TOOLS, tool_choice="required", stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["name"] == "look_up"
    assert json.loads("".join(part["arguments"] for part in calls)) == {"city": "simulated"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert "simulated answer" in content(chat(sim, "primary", "hi", tools=TOOLS))


@pytest.mark.parametrize("cut", [0, 1, 7, 30, 62, 63, 64, 90, 100])
def test_continuation_is_exact(sim: Simulator, cut: int) -> None:
    whole = content(chat(sim, "primary", "a story"))
    body = chat_body("primary", "a story", continue_final_message=True, add_generation_prompt=False)
    body["messages"].append({"role": "assistant", "content": whole[:cut]})
    assert whole[:cut] + content(post(sim, "primary", "/v1/chat/completions", body)) == whole
    chunks = events(post(sim, "primary", "/v1/chat/completions", {**body, "stream": True}))
    assert whole[:cut] + streamed_text(chunks) == whole


def test_continuation_of_another_models_answer(sim: Simulator) -> None:
    partial = content(chat(sim, "xai", "a story"))[:-20]
    body = chat_body("primary", "a story", continue_final_message=True, add_generation_prompt=False)
    body["messages"].append({"role": "assistant", "content": partial})
    rest = content(post(sim, "primary", "/v1/chat/completions", body))
    assert answer_numbers(partial + rest) == list(range(1, 13))


def test_continuation_excludes_a_generation_prompt(sim: Simulator) -> None:
    assert chat(sim, "primary", "hi", continue_final_message=True).status_code == 400


def prefilled(sim: Simulator, text: str) -> requests.Response:
    body = chat_body("xai", "a story")
    body["messages"].append({"role": "assistant", "content": text})
    return post(sim, "xai", "/v1/chat/completions", body)


def test_what_a_last_message_by_the_assistant_leads_to(sim: Simulator) -> None:
    """Where nothing in the request says so, it depends on the server: see `prefill`."""
    whole = content(chat(sim, "xai", "a story"))
    begun = whole[: len(whole) // 2]
    assert content(prefilled(sim, begun)) == whole
    sim.configure("xai", prefill="continue")
    assert begun + content(prefilled(sim, begun)) == whole
    assert content(chat(sim, "xai", "a story")) == whole
    sim.configure("xai", prefill="repeat")
    assert content(prefilled(sim, begun)) == whole
    sim.configure("xai", prefill="reject")
    refused = prefilled(sim, begun)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "messages"
    assert chat(sim, "xai", "a story").status_code == 200
    with pytest.raises(ValueError, match="prefill must be one of"):
        sim.configure("xai", prefill="perhaps")


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("hello there", "SIMPLE"),
        ("please explain how a bicycle stays upright while riding", "MODERATE"),
        ("prove that this theorem holds for all n", "COMPLEX"),
        ("what is the weather in Oslo", "ENRICH"),
        ('anything at all [[sim {"label": "COMPLEX"}]]', "COMPLEX"),
        ("latest news\nQuery: say hi", "SIMPLE"),
    ],
)
def test_labels(sim: Simulator, query: str, label: str) -> None:
    thought, end, answer = content(
        chat(sim, "router", f"Classify, given the latest news.\nQuery: {query}")
    ).partition("</think>")
    assert thought.startswith("<think>")
    assert end
    assert answer.strip() == label
    direct = chat(sim, "router", query, chat_template_kwargs={"enable_thinking": False})
    assert content(direct) == label


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_field(sim: Simulator, field: str) -> None:
    sim.configure("router", reasoning_field=field)
    sim.configure("primary", reasoning_field=field, think_tokens=5)
    for role, answer in (("router", "SIMPLE"), ("primary", "This is")):
        message = chat(sim, role, "hello").json()["choices"][0]["message"]
        assert message[field].startswith("Simulated thought1")
        assert message["content"].startswith(answer)
    deltas = [
        chunk["choices"][0]["delta"] for chunk in events(chat(sim, "router", "hello", stream=True))
    ]
    assert sum(field in delta for delta in deltas) == 8


def test_structured_choice(sim: Simulator) -> None:
    choices = {"choice": ["SIMPLE", "MODERATE", "COMPLEX", "ENRICH"]}
    assert (
        content(chat(sim, "router", "Query: latest news", structured_outputs=choices)) == "ENRICH"
    )
    assert (
        content(chat(sim, "primary", "hi", structured_outputs={"choice": ["PRIMARY", "ENRICH"]}))
        == "PRIMARY"
    )
    assert "simulated" in content(chat(sim, "primary", "hi", guided_choice=["A", "B"]))
    assert chat(sim, "primary", "hi", structured_outputs={"choice": []}).status_code == 400


def test_first_token_probabilities_are_not_masked(sim: Simulator) -> None:
    fields: dict[str, Any] = {
        "structured_outputs": {"choice": ["SIMPLE", "COMPLEX", "ENRICH"]},
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 10,
    }
    choice = chat(sim, "router", "Query: latest news", **fields).json()["choices"][0]
    entry = choice["logprobs"]["content"][0]
    tokens = {top["token"] for top in entry["top_logprobs"]}
    assert entry["token"] == choice["message"]["content"] == "ENRI"
    assert {"SIMP", "COMP", "ENRI", "Okay"} <= tokens
    marker = '[[sim {"label_probabilities": {"ENRICH": 0.4, "COMPLEX": 0.3}}]]'
    steered = chat(sim, "router", f"Query: latest news {marker}", **fields).json()["choices"][0]
    assert steered["logprobs"]["content"][0]["logprob"] == pytest.approx(-0.9163, abs=1e-3)


def test_legacy_completions(sim: Simulator) -> None:
    body = {"model": "primary-model", "prompt": "Once", "max_tokens": 12, "logprobs": 2}
    whole = post(sim, "primary", "/v1/completions", body).json()
    chunks = events(post(sim, "primary", "/v1/completions", {**body, "stream": True}))
    assert whole["object"] == "text_completion"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert len(whole["choices"][0]["logprobs"]["tokens"]) == 12


@pytest.mark.parametrize(
    ("change", "status", "part"),
    [
        ({"messages": []}, 400, "messages"),
        ({"messages": "hi"}, 400, "messages"),
        ({"messages": [{"content": "hi"}]}, 400, "role"),
        ({"model": "unknown"}, 404, "does not exist"),
        ({"max_tokens": 0}, 400, "at least 1"),
        ({"n": 0}, 400, "n must be"),
        (
            {"messages": [{"role": "user", "content": "x " * 70_000}]},
            400,
            "maximum context length is 32768",
        ),
        ({"max_tokens": 40_000}, 400, "maximum context length is 32768"),
    ],
)
def test_bad_requests(sim: Simulator, change: dict[str, Any], status: int, part: str) -> None:
    answer = post(sim, "primary", "/v1/chat/completions", {**chat_body("primary", "hi"), **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert part in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_content_in_parts_and_images(sim: Simulator) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "what is this"}, image]
    messages = [{"role": "assistant", "content": None}, {"role": "user", "content": parts}]
    body = {"model": "primary-model", "messages": messages, "unknown_field": 1}
    assert post(sim, "primary", "/v1/chat/completions", body).json()["usage"]["prompt_tokens"] > 256
