"""Which of the models that were found get a backend, and the file that is written for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from airouter.discover.configuration import choose, write
from airouter.discover.listed_models import Model, is_name, size_of, use_of
from airouter.discover.servers import ModelServer
from airouter.settings.load import load_settings
from airouter.settings.schema import Settings


def named(*names: str) -> tuple[Model, ...]:
    return tuple(Model(name, size_of(name), use=use_of(name)) for name in names)


def ollama(*names: str) -> ModelServer:
    return ModelServer("http://127.0.0.1:11434", "Ollama", "ollama", "0.13", named(*names))


def vllm(*names: str, port: int = 8000) -> ModelServer:
    return ModelServer(f"http://127.0.0.1:{port}", "vLLM", "vllm", "0.12", named(*names))


def backends(*servers: ModelServer) -> dict[str, str | None]:
    """The model of each backend."""
    chosen = choose(servers)
    return {name: each.model.name if each.model else None for name, each in chosen.items()}


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("qwen3:14b", 14),
        ("Qwen/Qwen2.5-0.5B-Instruct", 0.5),
        ("mixtral-8x7b-instruct", 56),
        ("qwen3-30b-a3b-4bit", 30),
        ("gemma3n:e4b", 4),
        ("gemma3:270m", 0.27),
        ("Qwen2.5-7B-Instruct-1M", 7),
        ("mistral-7b-v0.3.Q4_K_M.gguf", 7),
        ("llama3.2", None),
        (7, None),
    ],
)
def test_the_size_that_a_name_tells(name: object, billions: float | None) -> None:
    assert size_of(name) == (pytest.approx(billions) if billions else None)


def test_what_a_name_tells_besides() -> None:
    uses = ["nomic-embed-text", "BAAI/bge-m3", "intfloat/e5-base", "all-minilm", "bge-reranker-v2"]
    assert list(map(use_of, uses)) == ["embeddings"] * 4 + ["other"]
    assert list(map(use_of, ["llama-guard3:8b", "whisper-1", "qwen3:8b"])) == ["other"] * 2 + [
        "chat"
    ]
    bad = ["", " a", "a\nb", "a\x1b[2J", "x" * 201, None, 7]
    assert [is_name(each) for each in ["a/b:c", *bad]] == [True] + [False] * 7


def test_the_largest_is_the_primary_and_a_small_one_the_classifier() -> None:
    found = backends(ollama("llama3.2:3b", "qwen3:14b", "smollm:135m", "nomic-embed-text"))
    assert found == {
        "primary": "qwen3:14b",
        "router": "llama3.2:3b",
        "embedding": found["embedding"],
    }
    assert found["embedding"] == "nomic-embed-text"
    assert backends(ollama("qwen3:14b", "smollm:135m"))["router"] == "smollm:135m"
    assert backends(ollama("qwen3:14b")) == {"primary": "qwen3:14b"}
    # Of equals, vLLM's; the same model elsewhere is no classifier, but takes over.
    assert backends(ollama("m-70b"), vllm("m-70b")) == {
        "primary": "m-70b",
        "ollama-11434": "m-70b",
    }
    assert backends(vllm("primary-model"), vllm("router-model", port=8001)) == {
        "primary": "primary-model",
        "router": "router-model",
    }
    assert backends(ollama("all-minilm", "bge-reranker")) == {}


def test_models_that_a_third_party_runs_are_not_used() -> None:
    cloud = Model("gpt-oss:120b-cloud", 120, remote=True)
    server = ModelServer("http://127.0.0.1:11434", "Ollama", "ollama", "0.13", (cloud,))
    assert choose([server]) == {}


def test_a_server_that_wants_a_key_is_used_only_alone() -> None:
    keyed = ModelServer("http://127.0.0.1:8000", "vLLM", "vllm", "0.12", wants_key=True)
    unknown = ModelServer("http://127.0.0.1:9000", "", "openai", wants_key=True)
    assert backends(keyed, unknown) == {"primary": None}
    assert backends(keyed, unknown, ollama("qwen3:8b")) == {"primary": "qwen3:8b"}
    assert choose([unknown]) == {}
    text = write([keyed, unknown], choose([keyed]))
    assert yaml.safe_load(text)["backends"]["primary"]["api_key"] == "${VLLM_API_KEY}"


def loaded(text: str, tmp_path: Path, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "router.yaml"
    path.write_text(text)
    return load_settings(environ or {}, file=path, secrets_dir=tmp_path)


HOSTILE = "x: ${HOME} \"#' {[&*!|>%@` \u00fc"


@pytest.mark.parametrize(
    "servers",
    [
        [ollama("qwen3:14b")],
        [ollama("qwen3:14b", "llama3.2:3b", "nomic-embed-text")],
        [vllm("qwen-32b"), vllm("small-3b", port=8001), ollama("phi-14b")],
        [vllm(HOSTILE, "z-" + "y" * 190, *(f"m-{n}b" for n in range(1, 7)))],
    ],
    ids=["one", "ollama", "several", "hostile"],
)
def test_what_is_written_is_valid_with_and_without_the_cloud(
    servers: list[ModelServer], tmp_path: Path
) -> None:
    text = write(servers, choose(servers))
    settings = loaded(text, tmp_path)
    chosen = choose(servers)
    assert list(settings.backends) == list(chosen)
    for name, each in chosen.items():
        assert each.model is not None
        assert settings.backends[name].model == each.model.name
        assert settings.backends[name].url == each.server.url
    answering = tuple(name for name in chosen if name not in ("router", "embedding"))
    assert {settings.serving(route) for route in settings.routes} == {answering}
    assert settings.embeddings == ("embedding" if "embedding" in chosen else None)
    assert settings.speculation.enabled == ("router" in chosen)
    of_vllm = "router" in chosen and chosen["router"].server.kind == "vllm"
    assert ("one_token" in settings.cascade.tiers) == of_vllm
    # As the comment says.
    lines = [line for line in text.splitlines() if "without the cloud" not in line or "#~" in line]
    with_cloud = "\n".join(lines).replace("#~ ", "")
    settings = loaded(with_cloud, tmp_path, {"XAI_API_KEY": "key-1"})
    assert settings.serving("xai") == ("xai", *answering)
    assert settings.usable(settings.enrichment.backend)
    assert settings.speculation.enabled
    assert "learned" in settings.cascade.tiers


def test_windows_and_abilities_are_written(tmp_path: Path) -> None:
    """A window that the router reads at /v1/models is a comment; another is a setting."""
    listed = Model("a-32b", 32, 40960, listed_window=True)
    stated = Model("b-8b", 8, 8192, vision=True, abilities=("tools", "vision"))
    servers = [
        ModelServer("http://127.0.0.1:8000", "vLLM", "vllm", "0.12", (listed,)),
        ModelServer("http://127.0.0.1:8080", "llama.cpp", "openai", "b1", (stated,), slots=4),
    ]
    text = write(servers, choose(servers))
    assert "    # context_window: 40,960 tokens, read from /v1/models\n" in text
    assert re.search(r"model: b-8b +# tools, vision\n", text)
    assert "#   b-8b: 8 billion parameters; window 8,192 tokens; tools, vision\n" in text
    router = loaded(text, tmp_path).backends["router"]
    assert (router.context_window, router.vision, router.slots) == (8192, True, 4)
