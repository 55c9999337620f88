"""The endpoints beside chat, as each of the real servers has them."""

from __future__ import annotations

import base64
import struct

import pytest

from simulator.client import MODELS, chat, get, post
from simulator.testing import Simulator


def test_health_is_each_servers_own(sim: Simulator) -> None:
    healthy = get(sim, "primary", "/health")
    assert (healthy.status_code, healthy.content) == (200, b"")
    assert get(sim, "xai", "/health").status_code == 404
    assert get(sim, "ollama", "/health").status_code == 404
    assert get(sim, "ollama", "/").text == "Ollama is running"


@pytest.mark.parametrize("role", list(MODELS))
def test_models(sim: Simulator, role: str) -> None:
    models = get(sim, role, "/v1/models", Authorization="Bearer k").json()["data"]
    assert models[0]["id"] == MODELS[role]
    assert ("max_model_len" in models[0]) == (role in ("router", "primary", "embedding"))


def test_version_load_and_metrics(sim: Simulator) -> None:
    assert get(sim, "router", "/version").json() == {"version": "0.12.1"}
    assert get(sim, "router", "/load").json() == {"server_load": 0}
    metrics = get(sim, "router", "/metrics").text
    assert 'vllm:num_requests_running{engine="0",model_name="router-model"} 0.0' in metrics
    assert "vllm:num_requests_waiting{" in metrics


def test_tokenize(sim: Simulator) -> None:
    answer = post(
        sim, "primary", "/tokenize", {"model": "primary-model", "prompt": "x" * 40}
    ).json()
    assert answer["count"] == len(answer["tokens"]) == 10
    assert answer["max_model_len"] == 32768
    messages = [{"role": "user", "content": "hello"}]
    counted = post(sim, "primary", "/tokenize", {"messages": messages}).json()["count"]
    assert counted == chat(sim, "primary", "hello").json()["usage"]["prompt_tokens"]


def test_xai_wants_a_key(sim: Simulator) -> None:
    assert get(sim, "xai", "/v1/models").status_code == 401
    body = {"model": "grok-4", "messages": [{"role": "user", "content": "hi"}]}
    refused = post(sim, "xai", "/v1/chat/completions", body, key="bad-key")
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert post(sim, "xai", "/v1/chat/completions", body, key="any").status_code == 200


def test_embeddings_are_deterministic_in_both_encodings(sim: Simulator) -> None:
    body = {"model": "embedding-model", "input": ["red apple", "green apple", "fast train"]}
    answer = post(sim, "embedding", "/v1/embeddings", body).json()
    vectors = [item["embedding"] for item in answer["data"]]
    packed = post(sim, "embedding", "/v1/embeddings", {**body, "encoding_format": "base64"}).json()[
        "data"
    ]
    data = base64.b64decode(packed[0]["embedding"])
    assert struct.unpack(f"<{len(vectors[0])}f", data) == pytest.approx(vectors[0], abs=1e-6)

    def similarity(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert similarity(vectors[0], vectors[0]) == pytest.approx(1)
    assert similarity(vectors[0], vectors[1]) > similarity(vectors[0], vectors[2])


def test_responses_with_web_search(sim: Simulator) -> None:
    body = {
        "model": "grok-4",
        "input": "who won?",
        "tools": [{"type": "web_search"}],
        "max_output_tokens": 500,
    }
    answer = post(sim, "xai", "/v1/responses", body).json()
    search, message = answer["output"]
    assert (search["type"], search["action"]["query"]) == ("web_search_call", "who won?")
    assert [block["type"] for block in message["content"]] == ["output_text"] * 3
    assert "who won?" in message["content"][0]["text"]
    assert sim.stats("xai")["searches"] == 1
    plain = post(
        sim,
        "xai",
        "/v1/responses",
        {"model": "grok-4", "input": [{"role": "user", "content": "hi"}]},
    )
    assert [item["type"] for item in plain.json()["output"]] == ["message"]
    cut = post(sim, "xai", "/v1/responses", {**body, "max_output_tokens": 20}).json()
    assert (cut["status"], cut["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert cut["usage"]["output_tokens"] <= 20


def test_unknown_paths_and_methods(sim: Simulator) -> None:
    assert get(sim, "primary", "/nowhere").status_code == 404
    assert get(sim, "primary", "/v1/chat/completions").status_code == 405
