"""Each kind of model server is recognised by its own endpoints; the answers are shaped as theirs
are."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from airouter.discover.servers import ModelServer, recognise
from airouter.doctor.http import Server
from airouter.domain.clock import Clock
from tests.doctor.conftest import URL, Imitated


def listed(*models: str | dict[str, Any], owner: str = "organization_owner") -> dict[str, Any]:
    entries = [each if isinstance(each, dict) else {"id": each} for each in models]
    return {"object": "list", "data": [{"owned_by": owner, **each} for each in entries]}


def found(gets: dict[str, Any], shows: dict[str, Any] | None = None) -> ModelServer | None:
    """What a server is taken for that has only these paths; a number is a status."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        imitated = Imitated(mock)
        for path, body in gets.items():
            status = body if isinstance(body, int) else 200
            imitated.get(path, {"error": "no"} if isinstance(body, int) else body, status)
        if shows is not None:
            imitated.post("/api/show", lambda asked: shows.get(asked["model"], (404, {})))
        mock.add("GET", URL + "/", status=404)
        for path in ASKED - set(gets):
            mock.add("GET", URL + path, status=404)
        return recognise(Server(URL, Clock()))


ASKED = {
    *("/v1/models", "/get_model_info", "/model_info", "/get_server_info", "/server_info"),
    *("/props", "/api/v0/models", "/info", "/api/version", "/api/tags", "/api/ps"),
    *("/version", "/health"),
}
VLLM = {"/version": {"version": "0.12.1"}, "/health": ""}


def test_vllm() -> None:
    """Adapters, and second names of a model, are not models of their own."""
    base = {"id": "qwen", "root": "Qwen/Qwen3-32B-AWQ", "max_model_len": 40960, "parent": None}
    models = listed(
        base, base | {"id": "alias"}, base | {"id": "lora", "parent": "qwen"}, owner="vllm"
    )
    server = found({"/v1/models": models, **VLLM})
    assert server is not None
    assert (server.title, server.kind, server.wants_key) == ("vLLM 0.12.1", "vllm", False)
    [model] = server.models
    assert (model.name, model.billions, model.window, model.listed_window) == (
        *("qwen", 32, 40960, True),
    )
    keyed = found({"/v1/models": 401, **VLLM})
    assert keyed is not None
    assert (keyed.product, keyed.models, keyed.wants_key) == ("vLLM", (), True)


def test_ollama() -> None:
    """Windows are those of loaded models, or of the model's file; `-cloud` models are remote."""
    tags = [
        {"name": "qwen3:14b", "details": {"parameter_size": "14.8B"}},
        {"name": "tuned:latest", "details": {"parameter_size": "999.89M"}},
        {"name": "nomic-embed-text:latest", "details": {"parameter_size": "137M"}},
        {"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com"},
        {"name": "bad\nname"},
    ]
    shows = {
        "qwen3:14b": {"capabilities": ["completion", "tools", "thinking", "vision"]},
        "tuned:latest": {"capabilities": ["completion"], "parameters": 'stop "x"\nnum_ctx   8192'},
        "nomic-embed-text:latest": {"capabilities": ["embedding"]},
    }
    gets = {
        "/v1/models": listed("qwen3:14b", owner="library"),
        "/api/version": {"version": "0.13.0"},
        "/api/tags": {"models": tags},
        "/api/ps": {"models": [{"name": "qwen3:14b", "context_length": 32768}]},
    }
    server = found(gets, shows)
    assert server is not None
    assert (server.title, server.kind) == ("Ollama 0.13.0", "ollama")
    chat, tuned, embeds, cloud = server.models
    assert (chat.billions, chat.window, chat.vision, chat.use) == (14.8, 32768, True, "chat")
    assert (tuned.window, tuned.vision, round(tuned.weight, 3)) == (8192, False, 1.0)
    assert (embeds.use, cloud.remote, chat.remote) == ("embeddings", True, False)
    assert server.with_use("chat") == [chat, tuned]
    # Without /api/show and /api/ps, names tell.
    plain = found({path: body for path, body in gets.items() if path != "/api/ps"}, {})
    assert plain is not None
    assert [each.use for each in plain.models] == ["chat", "chat", "embeddings", "chat"]


def test_llama_cpp() -> None:
    """It has /api/tags, too; its window is that of a slot."""
    meta = {"n_params": 3_212_749_888, "n_ctx_train": 131072}
    server = found(
        {
            "/v1/models": listed({"id": "/models/a.gguf", "meta": meta}, owner="llamacpp"),
            "/props": {
                "default_generation_settings": {"n_ctx": 8192},
                "total_slots": 4,
                "modalities": {"vision": True, "audio": False},
                "build_info": "b6500-abc",
            },
            "/api/tags": {"models": [{"name": "/models/a.gguf"}]},
        }
    )
    assert server is not None
    assert (server.title, server.kind, server.slots) == ("llama.cpp b6500-abc", "openai", 4)
    [model] = server.models
    assert (model.window, model.listed_window, model.vision) == (8192, False, True)
    assert model.billions == pytest.approx(3.21, abs=0.01)


def test_lm_studio() -> None:
    """Loaded models come first; only their window is known."""
    entries = [
        {"id": "big-70b", "type": "llm", "state": "not-loaded", "max_context_length": 131072},
        {"id": "eye-7b", "type": "vlm", "state": "loaded", "loaded_context_length": 4096}
        | {"capabilities": ["tool_use"]},
        {"id": "text-embedding-nomic", "type": "embeddings", "state": "not-loaded"},
    ]
    server = found({"/v1/models": listed("big-70b", "eye-7b"), "/api/v0/models": {"data": entries}})
    assert server is not None
    assert server.product == "LM Studio"
    eye, big, embeds = server.models
    assert (eye.name, eye.window, eye.vision, eye.abilities) == (
        *("eye-7b", 4096, True, ("tool_use", "loaded")),
    )
    assert (big.window, big.use, embeds.use) == (None, "chat", "embeddings")


@pytest.mark.parametrize("path", ["/get_model_info", "/model_info"])
def test_sglang(path: str) -> None:
    """It imitates Ollama's endpoints, and so does it vLLM's list."""
    info = {"model_path": "Qwen/Qwen2.5-0.5B", "is_generation": True}
    details = path.replace("model", "server")
    gets = {
        "/v1/models": listed({"id": "served", "max_model_len": 32768}, owner="sglang"),
        path: info,
        details: {"version": "0.5.8", "max_running_requests": 48},
        "/api/version": {"version": "0.5.8"},
        "/api/tags": {"models": []},
    }
    server = found(gets)
    assert server is not None
    assert (server.title, server.slots) == ("SGLang 0.5.8", 48)
    [model] = server.models
    assert (model.billions, model.window, model.use) == (0.5, 32768, "chat")
    embeds = found(gets | {path: info | {"is_generation": False}})
    assert embeds is not None
    assert embeds.models[0].use == "embeddings"


def test_tgi_and_tei() -> None:
    """Older ones have no /v1/models."""
    info = {"model_id": "mistralai/Mistral-7B-Instruct-v0.3", "version": "3.3.5"}
    server = found({"/info": info | {"max_total_tokens": 4096, "max_concurrent_requests": 128}})
    assert server is not None
    assert (server.title, server.slots, server.models[0].window) == ("TGI 3.3.5", 128, 4096)
    embeds = found({"/info": info | {"model_type": {"embedding": {"pooling": "cls"}}}})
    assert embeds is not None
    assert (embeds.product, embeds.models[0].use) == ("TEI", "embeddings")


@pytest.mark.parametrize(
    ("gets", "title"),
    [
        ({"/v1/models": listed("gpt-4")}, "an OpenAI-compatible server"),
        ({"/v1/models": 401}, "a server of an unknown kind"),
        ({"/v1/models": listed("ai-router"), "/": {"name": "ai-router"}}, None),  # never itself
        ({"/v1/models": "<!doctype html>", "/api/version": {"version": "0.6"}}, None),  # Open WebUI
        ({"/v1/models": {"data": []}, "/version": {"version": "1"}, "/info": {"x": 1}}, None),
        (dict.fromkeys(ASKED, "[1]"), None),
        (dict.fromkeys(ASKED, '{"data": [7], "models": [7], "model_id": 7, "version": 7}'), None),
    ],
)
def test_other_servers(gets: dict[str, Any], title: str | None) -> None:
    server = found(gets)
    assert (server.title if server else None) == title
