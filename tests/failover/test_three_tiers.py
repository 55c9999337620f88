"""config/examples/three-tiers.yaml: what is asked of a chain of a GPU, a CPU and a cloud."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from harness import Stream, ask, body, content, is_whole
from resilience_harness import served_by

from airouter.settings.load import ROOT
from bench.router_process import RouterProcess
from simulator.testing import Simulator

EXAMPLE = ROOT / "config" / "examples" / "three-tiers.yaml"
MODEL = "vllm-qwen"


@pytest.fixture
def tiers(make_router: Callable[..., RouterProcess], sim: Simulator) -> RouterProcess:
    environ = {
        "ROUTER_CONFIG": str(EXAMPLE),
        "VLLM_QWEN_URL": sim.url("primary"),
        "VLLM_QWEN_MODEL": "primary-model",
        "OLLAMA_QWEN_URL": sim.url("ollama"),
        "OLLAMA_QWEN_MODEL": "llama3.2:3b",
        "OPENAI_URL": sim.url("embedding"),
        "OPENAI_MODEL": "embedding-model",
        "OPENAI_API_KEY": "test-key",
    }
    return make_router(env=environ, backends=(), warm=False)


def cloud_calls(sim: Simulator) -> int:
    return len(sim.stats("embedding")["requests"])


def test_in_normal_operation_the_gpu_answers(tiers: RouterProcess, sim: Simulator) -> None:
    for _ in range(3):
        assert served_by(ask(tiers, "Hello", model=MODEL)) == "vllm-qwen"
    assert cloud_calls(sim) == 0


def test_while_the_gpu_is_away_the_cpu_answers(tiers: RouterProcess, sim: Simulator) -> None:
    sim.refuse("primary")
    first = ask(tiers, "Hello", model=MODEL)
    assert served_by(first) == "ollama-qwen"
    assert first.elapsed.total_seconds() < 5  # NFR65
    stream = Stream(tiers, body("Hello", model=MODEL)).read()
    assert stream.headers["X-Router-Backend"] == "ollama-qwen"
    assert is_whole(stream.text)
    # It is known to be away, so it is not asked again.
    assert "X-Router-Attempts" not in ask(tiers, "Hello", model=MODEL).headers
    assert cloud_calls(sim) == 0  # NFR68


def test_a_document_is_still_classified_as_json(tiers: RouterProcess, sim: Simulator) -> None:
    sim.refuse("primary")
    answer = ask(
        tiers,
        "Classify this invoice.",
        model=MODEL,
        response_format={"type": "json_object"},
    )
    assert served_by(answer) == "ollama-qwen"
    assert isinstance(json.loads(content(answer)), dict)  # NFR67


def test_when_both_are_away_the_cloud_answers(tiers: RouterProcess, sim: Simulator) -> None:
    sim.refuse("primary")
    sim.refuse("ollama")
    assert served_by(ask(tiers, "Hello", model=MODEL)) == "openai-gpt4o"
    assert cloud_calls(sim) == 1
    # Titles stay local, even now.
    meta = ask(tiers, "Hello", model="ai-router/meta", headers={"X-Router-Timeout": "1"})
    assert meta.status_code >= 500
    assert cloud_calls(sim) == 1
    # Each tier's own name starts there.
    assert served_by(ask(tiers, "Hello", model="ollama-qwen")) == "openai-gpt4o"


def test_without_a_key_there_is_no_cloud(
    make_router: Callable[..., RouterProcess], sim: Simulator
) -> None:
    environ = {"ROUTER_CONFIG": str(EXAMPLE), "VLLM_QWEN_URL": sim.url("primary")}
    router = make_router(env=environ, backends=(), warm=False)
    assert "openai-gpt4o" not in router.stats()["backends"]
    listed = [entry["id"] for entry in router.get("/v1/models").json()["data"]]
    assert "vllm-qwen" in listed
    assert "openai-gpt4o" not in listed
