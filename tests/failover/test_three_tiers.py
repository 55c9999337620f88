"""config/examples/three-tiers.yaml: the four acceptance criteria of a chain of a GPU, a CPU and a
cloud, and its limits NFR65 to NFR68, asked for by the chain's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from harness import Stream, ask, body, content, is_whole, steer
from resilience_harness import backend, served_by

from airouter.settings.load import ROOT
from bench.client import Connection, Endpoint
from bench.gpu_mode import GpuMode
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


def test_criterion_1_the_gpu_answers_and_little_time_is_added(
    tiers: RouterProcess, sim: Simulator
) -> None:
    """Direct and routed in turn, on connections that are kept open: NFR66."""
    direct, routed = Endpoint.of(sim.url("primary")), Endpoint.of(tiers.url)
    added = []
    with Connection(direct) as backend, Connection(routed) as router:
        for _ in range(20):
            alone = backend.checked(direct.chat(body("Hello", model="primary-model")))
            answer = router.checked(routed.chat(body("Hello", model=MODEL)))
            assert answer.headers["x-router-backend"] == "vllm-qwen"
            added.append(answer.seconds - alone.seconds)
    assert median(added) < 0.1
    assert cloud_calls(sim) == 0


def test_criterion_2_in_gaming_mode_the_cpu_answers_and_afterwards_the_gpu(
    tiers: RouterProcess, sim: Simulator, tmp_path: Path
) -> None:
    """`./gpu-mode gaming` stops the GPU's server, `ml` starts it: everyone sees it, no request
    fails, and the cloud is not asked."""
    control, switch = sim.urls["control"], "curl -sf -o /dev/null"
    mode = GpuMode(
        tiers.url,
        tmp_path,
        backend="vllm-qwen",
        stop=f"""{switch} -d '{{"fault": "refuse"}}' '{control}/_sim/faults?role=primary'""",
        start=f"{switch} -X DELETE '{control}/_sim/faults?role=primary'",
    )
    wrong = mode("game")
    assert (wrong.returncode, wrong.stderr) == (1, "usage: ./gpu-mode gaming|ml|status\n")
    assert served_by(ask(tiers, "Hello", model=MODEL)) == "vllm-qwen"

    out = mode("gaming")
    assert (out.returncode, out.stderr) == (0, "")
    answer = ask(tiers, "Hello", model=MODEL)
    assert served_by(answer) == "ollama-qwen"
    assert answer.elapsed.total_seconds() < 5  # NFR65
    assert "X-Router-Attempts" not in answer.headers  # no time was lost with the GPU's
    assert backend(tiers, "vllm-qwen")["out"] is True
    assert tiers.get("/health").json()["backends"]["vllm-qwen"]["healthy"] is False
    assert "mode: gaming (vllm-qwen is out of service)" in mode("status").stdout
    listed = [entry["id"] for entry in tiers.get("/v1/models").json()["data"]]
    assert MODEL in listed  # clients go on asking for it
    assert "already" in mode("gaming").stdout

    back = mode("ml")
    assert (back.returncode, back.stderr) == (0, "")
    assert backend(tiers, "vllm-qwen")["out"] is False
    assert served_by(ask(tiers, "Hello", model=MODEL)) == "vllm-qwen"
    assert cloud_calls(sim) == 0  # NFR68


def test_criterion_2_when_the_gpu_fails_the_cpu_answers_within_5_s(
    tiers: RouterProcess, sim: Simulator
) -> None:
    """With the example's own limit of 3 s to the first byte, for a server that is silent."""
    sim.fault("primary", "hang")
    stream = Stream(tiers, body("Hello", model=MODEL)).read()
    assert stream.headers["X-Router-Backend"] == "ollama-qwen"
    assert is_whole(stream.text)
    assert stream.first_after is not None
    assert 3 <= stream.first_after < 5  # NFR65
    # It is known to be away, so it is not asked again.
    following = ask(tiers, "Hello", model=MODEL)
    assert served_by(following) == "ollama-qwen"
    assert "X-Router-Attempts" not in following.headers
    assert following.elapsed.total_seconds() < 1
    assert cloud_calls(sim) == 0  # NFR68


def test_criterion_3_documents_are_still_classified(tiers: RouterProcess, sim: Simulator) -> None:
    """NFR67: the second tier is asked for the same format, and its JSON arrives as it was
    written."""
    sim.refuse("primary")
    document = {"title": "Rechnung – Müller & Söhne", "tags": ["invoice"], "confidence": 0.9}
    asked = steer("Classify this.", ollama={"text": json.dumps(document, ensure_ascii=False)})
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    formats: list[dict[str, Any]] = [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "document", "schema": schema}},
    ]
    for wanted in formats:
        answer = ask(tiers, asked, model=MODEL, response_format=wanted)
        assert served_by(answer) == "ollama-qwen"
        assert json.loads(content(answer)) == document
        assert answer.elapsed.total_seconds() < 5  # NFR65, of a server that refuses connections
    received = [one["params"]["response_format"] for one in sim.stats("ollama")["requests"]]
    assert received == formats
    # Without a marker the simulator writes what the schema asks for.
    plain = ask(tiers, "Classify this.", model=MODEL, response_format=formats[1])
    assert set(json.loads(content(plain))) == {"title"}


def test_criterion_4_when_both_are_away_the_cloud_answers(
    tiers: RouterProcess, sim: Simulator
) -> None:
    """NFR68, and only then."""
    sim.refuse("ollama")
    assert served_by(ask(tiers, "Hello", model=MODEL)) == "vllm-qwen"
    assert cloud_calls(sim) == 0
    sim.refuse("primary")
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
