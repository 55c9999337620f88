"""The doctor against vLLM: what it says is what vLLM does, with and without its parsers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from real_vllm.asking import chat
from real_vllm.served import PARSERS, ROOT, WINDOW, Engine

pytestmark = pytest.mark.real_vllm

Doctor = Callable[..., tuple[int, dict[str, Any]]]
CAPABILITIES = {  # without parsers
    "models": "yes",
    "health": "yes",
    "kind": "yes",
    "window": "yes",
    "chat": "yes",
    "thinking": "yes",
    "thinking_switch": "yes",
    "tools": "no",
    "structured_output": "yes",
    "choice": "yes",
    "logprobs": "yes",
    "continuation": "yes",
    "prefill": "no",
    "embeddings": "no",
    "vision": "no",
    "messages": "yes",
    "responses": "yes",
    "prefix_cache": "yes",
    "load": "yes",
}
WITH_PARSERS = {"tools": "unknown"}  # it begins a call, one token per letter, and gets no further
TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}


@pytest.fixture(scope="session")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Doctor:
    """`doctor(*arguments, config="")`: the exit status, and what it printed."""
    folder = tmp_path_factory.mktemp("doctor")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    def ask(*arguments: str, config: str = "") -> tuple[int, dict[str, Any]]:
        environ = kept | {"LOG_DIR": str(folder)}
        if config:
            (folder / "router.yaml").write_text(config)
            environ["ROUTER_CONFIG"] = str(folder / "router.yaml")
        done = subprocess.run(
            [sys.executable, "-m", "airouter", "doctor", "--json", "--limit", "120", *arguments],
            cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return ask


@pytest.fixture(scope="session")
def examined(doctor: Doctor, engine: Engine) -> dict[str, Any]:
    status, data = doctor(engine.url)
    assert (status, data["findings"]) == (0, [])
    return data


@pytest.fixture(scope="session")
def found(examined: dict[str, Any]) -> dict[str, Any]:
    return dict(examined["backends"]["server"]["capabilities"])


def evidence(found: dict[str, Any], name: str) -> str:
    return str(found[name]["evidence"])


def ask(engine: Engine, text: str = "Hello", **fields: Any) -> Any:
    body = {"model": engine.name, **chat(text, **fields)}
    return engine.post("/v1/chat/completions", body).json()


def test_each_verdict(found: dict[str, Any], engine: Engine) -> None:
    expected = CAPABILITIES | (WITH_PARSERS if engine.flags == PARSERS else {})
    assert {name: each["verdict"] for name, each in found.items()} == expected


def test_its_models_and_its_window_are_named(found: dict[str, Any], engine: Engine) -> None:
    entry = engine.get("/v1/models").json()["data"][0]
    assert evidence(found, "models") == entry["id"] == engine.name
    assert evidence(found, "window") == f"{entry['max_model_len']:,} tokens, says /v1/models"
    assert entry["max_model_len"] == WINDOW


def test_how_it_thinks(found: dict[str, Any], engine: Engine) -> None:
    """Without a parser the thought's end is in the text; its beginning is in the prompt."""
    thinking, still = (
        ask(engine, chat_template_kwargs={"enable_thinking": switch})["choices"][0]["message"]
        for switch in (True, False)
    )
    if engine.flags == PARSERS:
        assert thinking["reasoning"]
        assert evidence(found, "thinking") == "the answer has reasoning"
    else:
        assert "</think>" in thinking["content"]
        assert evidence(found, "thinking") == "the answer has a </think>"
    assert not still["reasoning"]
    assert "</think>" not in still["content"]
    assert evidence(found, "thinking_switch") == "by chat_template_kwargs"


def test_how_it_calls_tools(found: dict[str, Any], engine: Engine) -> None:
    """It calls one for a code word, which the doctor does not say."""
    answer = ask(engine, "persimmon", tools=[TOOL], tool_choice="auto")
    if engine.flags == PARSERS:
        assert answer["choices"][0]["message"]["tool_calls"]
        assert evidence(found, "tools") == "its call was cut after 64 tokens"
    else:
        assert evidence(found, "tools") == f"status 400: {answer['error']['message']}"


def test_what_it_lacks_it_refuses(found: dict[str, Any], engine: Engine) -> None:
    embeddings = engine.post("/v1/embeddings", {"model": engine.name, "input": "Hello"})
    assert embeddings.status_code == 404
    assert evidence(found, "embeddings") == "status 404: Not Found"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    refusal = ask(engine, messages=[{"role": "user", "content": [picture]}])["error"]["message"]
    assert evidence(found, "vision") == f"status 400: {refusal}"


def test_the_whole_prompt_is_cached(found: dict[str, Any], engine: Engine) -> None:
    hits = int(evidence(found, "prefix_cache").split()[0].replace(",", ""))
    assert 1_000 < hits <= engine.metric("prefix_cache_hits_total")


def test_what_is_measured(examined: dict[str, Any]) -> None:
    measured = examined["backends"]["server"]["measured"]
    assert 0 < measured["rtt_ms"] < measured["ttft_ms"] < 20_000
    assert measured["tokens_per_s"] > 1


def test_the_proposed_configuration_passes(doctor: Doctor, examined: dict[str, Any]) -> None:
    backend = yaml.safe_load(examined["configuration"])["backends"]["primary"]
    assert (backend["kind"], backend["vision"]) == ("vllm", False)
    assert not {"continues", "context_window", "reasoning"} & set(backend)
    status, data = doctor(config=examined["configuration"])
    assert status == 0
    assert {each["level"] for each in data["findings"]} <= {"warning"}
    told = [each["sentence"] for each in data["findings"]]
    assert all(sentence.startswith("It calls no tools: ") for sentence in told)
    assert data["backends"]["primary"]["skipped"] is None


def test_what_cannot_work_is_an_error(doctor: Doctor, engine: Engine) -> None:
    first = {"kind": "vllm", "url": engine.url, "vision": True, "continues": "prefill"}
    second = {"kind": "vllm", "url": engine.url, "model": "absent"}
    third = {"kind": "openai", "url": engine.url, "context_window": 2 * WINDOW}
    status, data = doctor(
        config=yaml.safe_dump(
            {
                "backends": {"first": first, "second": second, "third": third},
                "routes": {"primary": {"backends": ["first", "second", "third"]}},
                "embeddings": "first",
                "cascade": {"tiers": ["one_token"], "one_token": {"backend": "third"}},
            }
        )
    )
    changes = [yaml.safe_load(f["yaml"]) for f in data["findings"] if f["level"] == "error"]
    assert status == 1
    for name, key, value in (
        ("first", "vision", False),
        ("first", "continues", "auto"),
        ("second", "model", engine.name),
        ("third", "context_window", WINDOW),
        ("third", "kind", "vllm"),
    ):
        assert {"backends": {name: {key: value}}} in changes
    assert {"embeddings": None} in changes
    assert len(changes) == 6
