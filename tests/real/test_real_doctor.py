"""The doctor against llama.cpp's server: what it says is what the server does."""

import json
import subprocess
import sys

import pytest
import yaml
from real.conftest import ROOT, llama, plain_environment

pytestmark = pytest.mark.real

CAPABILITIES = {
    "models": "yes",
    "health": "no",
    "kind": "unknown",
    "window": "yes",
    "chat": "yes",
    "thinking": "unknown",  # its answers have no end
    "thinking_switch": "unknown",
    "tools": "no",
    "structured_output": "no",
    "choice": "no",
    "logprobs": "yes",
    "continuation": "no",
    "prefill": "no",
    "embeddings": "no",
    "vision": "no",
    "messages": "no",
    "responses": "no",
    "prefix_cache": "unknown",  # it has one, and states nothing of it
    "load": "no",
}
TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}}


@pytest.fixture(scope="module")
def doctor(tmp_path_factory):
    """`doctor(*arguments, config="")`: the exit status, and what it printed."""
    folder = tmp_path_factory.mktemp("doctor")

    def ask(*arguments, config=""):
        environ = plain_environment(LOG_DIR=str(folder))
        if config:
            (folder / "router.yaml").write_text(config)
            environ["ROUTER_CONFIG"] = str(folder / "router.yaml")
        done = subprocess.run(
            [sys.executable, "-m", "airouter", "doctor", "--json", *arguments],
            cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return ask


@pytest.fixture(scope="module")
def examined(doctor, server):
    status, data = doctor(server.url)
    assert (status, data["findings"]) == (0, [])
    return data


@pytest.fixture(scope="module")
def found(examined):
    return examined["backends"]["server"]["capabilities"]


@pytest.mark.parametrize(("name", "verdict"), CAPABILITIES.items())
def test_each_verdict(found, name, verdict):
    assert found[name]["verdict"] == verdict, found[name]["evidence"]


def test_all_that_is_asked_is_judged_here(found):
    assert list(found) == list(CAPABILITIES)


def chat(server, content="Hello", **more):
    body = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": content}]}
    return server.ask("POST", "/v1/chat/completions", body | more)


def test_its_models_and_its_window_are_named(found, server):
    assert found["models"]["evidence"] == server.ask("GET", "/v1/models")[1]["data"][0]["id"]
    status, refusal = chat(server, "word " * 3000)
    assert status == 400
    assert "context length is 2048 tokens" in refusal["error"]["message"]
    assert found["window"]["evidence"].startswith("2,048 tokens")


def test_it_calls_a_tool_only_by_name(found, server):
    assert found["tools"]["evidence"].endswith("unless tool_choice names the tool")
    by_name = {"type": "function", "function": {"name": "get_time"}}
    for choice, calls in (("required", False), (by_name, True)):
        message = chat(server, tools=[TOOL], tool_choice=choice)[1]["choices"][0]["message"]
        assert bool(message.get("tool_calls")) == calls


@pytest.mark.parametrize("name", ["structured_output", "embeddings"])
def test_what_it_lacks_it_refuses_as_an_error_of_its_own(found, server, name):
    """Status 500, which is elsewhere a passing fault."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    answers = {
        "structured_output": lambda: chat(server, response_format=form),
        "embeddings": lambda: server.ask("POST", "/v1/embeddings", {"input": "Hello"}),
    }
    status, refusal = answers[name]()
    assert status == 500
    said = " ".join(refusal["error"]["message"].split())
    assert found[name]["evidence"].startswith(f"status 500: {said[:40]}")


def test_it_takes_a_picture_for_text(found, server):
    status, answer = chat(server, [{"type": "text", "text": "What is this?"}, PICTURE])
    assert status == 200
    assert answer["usage"]["prompt_tokens"] > 400
    assert "for text" in found["vision"]["evidence"]


def test_what_is_measured(examined):
    measured = examined["backends"]["server"]["measured"]
    assert 0 < measured["rtt_ms"] < 5_000
    assert 0 < measured["ttft_ms"] < 20_000
    assert measured["tokens_per_s"] > 1


def test_the_proposed_configuration_passes(doctor, examined):
    proposed = yaml.safe_load(examined["configuration"])
    backend = proposed["backends"]["primary"]
    assert (backend["kind"], backend["vision"]) == ("openai", False)
    assert backend["context_window"] == 2048
    assert "embeddings" not in proposed
    status, data = doctor(config=examined["configuration"])
    assert status == 0
    assert "error" not in [finding["level"] for finding in data["findings"]]
    assert data["backends"]["primary"]["skipped"] is None


def test_what_cannot_work_is_an_error(doctor, server):
    wrong = {
        "kind": "vllm", "url": server.url, "vision": True, "context_window": 4096,
        "continues": "prefill",
    }  # fmt: skip
    status, data = doctor(
        config=yaml.safe_dump(
            {
                "backends": {"primary": wrong},
                "routes": {"primary": {"backends": ["primary"]}},
                "embeddings": "primary",
                "cascade": {"tiers": ["one_token"], "one_token": {"backend": "primary"}},
            }
        )
    )
    changes = [yaml.safe_load(f["yaml"]) for f in data["findings"] if f["level"] == "error"]
    assert status == 1
    for key, value in (
        ("kind", "openai"), ("vision", False), ("context_window", 2048), ("continues", "none"),
    ):  # fmt: skip
        assert {"backends": {"primary": {key: value}}} in changes
    assert {"embeddings": None} in changes
    assert {"cascade": {"tiers": []}} in changes


def test_options_that_help_only_by_half(doctor, model_file, tmp_path):
    """Embeddings without pooling are none of a text; this chat format fails at `required`."""
    options = {"embedding": True, "chat_format": "chatml-function-calling"}
    with llama(model_file, tmp_path / "output.txt", **options) as served:
        _, data = doctor(served.url)
        _, answer = served.ask("POST", "/v1/embeddings", {"model": "tiny", "input": "Hello"})
        status, _ = chat(served, tools=[TOOL], tool_choice="required")
    found = data["backends"]["server"]["capabilities"]
    assert isinstance(answer["data"][0]["embedding"][0], list)
    assert found["embeddings"]["verdict"] == "no"
    assert "for each token" in found["embeddings"]["evidence"]
    assert status == 500
    assert found["tools"]["verdict"] == "no"
    assert "embeddings" not in yaml.safe_load(data["configuration"])
