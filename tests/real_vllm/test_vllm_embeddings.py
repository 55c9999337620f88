"""vLLM as a server of embeddings: `--runner pooling --convert embed`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import error_of
from real_vllm.conftest import MakeRouter
from real_vllm.served import Engine
from real_vllm.tiny_model import WIDTH

from bench.router_process import RouterProcess

pytestmark = pytest.mark.real_vllm


@pytest.fixture(scope="module")
def embedder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("embedder")
    engine = Engine(folder, model, "--runner", "pooling", "--convert", "embed", name="embed")
    try:
        yield engine.start().until_up()
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def embedding_router(embedder: Engine, start_router: MakeRouter) -> Iterator[RouterProcess]:
    router = start_router(
        {"primary": embedder.url, "embedding": embedder.url}, {"embeddings": "embedding"}
    )
    yield router
    router.stop()


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "Hello"},
        {"input": ["Hello", "there"]},
        {"input": [72, 105]},
        {"input": "Hello", "encoding_format": "base64"},
    ],
    ids=["text", "texts", "tokens", "base64"],
)
def test_embeddings_are_vllms_own(
    embedding_router: RouterProcess, embedder: Engine, fields: dict[str, object]
) -> None:
    routed = embedding_router.post("/v1/embeddings", fields)
    assert routed.status_code == 200, routed.text
    alone = embedder.post("/v1/embeddings", {"model": embedder.name, **fields}).json()
    assert routed.json()["data"] == alone["data"]
    assert routed.json()["usage"] == alone["usage"]
    if "encoding_format" not in fields:
        assert {len(entry["embedding"]) for entry in alone["data"]} == {WIDTH}


def test_a_text_beyond_its_window_is_refused_in_its_words(
    embedding_router: RouterProcess,
) -> None:
    response = embedding_router.post("/v1/embeddings", {"input": "word " * 2000})
    assert response.status_code == 400, response.text
    assert "context" in error_of(response)["message"]


def test_its_model_name_is_known(embedding_router: RouterProcess) -> None:
    body = {"model": "embed", "input": "Hello"}
    assert embedding_router.post("/v1/embeddings", body).status_code == 200
    listed = embedding_router.get("/v1/models").json()["data"]
    assert "embed" in {model["id"] for model in listed}
