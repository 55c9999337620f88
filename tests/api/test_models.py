"""GET /v1/models: what may be asked for."""

from __future__ import annotations

from urllib.parse import quote

from harness import ask, content, error_of, eventually

from bench.router_process import RouterProcess
from simulator.testing import Simulator


def test_the_virtual_model_comes_first(router: RouterProcess) -> None:
    """The list begins with `ai-router`, then its forced routes, then the backends' own models."""
    listing = router.get("/v1/models").json()
    names = [model["id"] for model in listing["data"]]
    assert listing["object"] == "list"
    assert names[:5] == [
        "ai-router",
        "ai-router/primary",
        "ai-router/xai",
        "ai-router/enrich",
        "ai-router/meta",
    ]
    assert {"primary-model", "router-model", "grok-4-1-fast-reasoning"} <= set(names[5:])
    assert len(names) == len(set(names))
    assert all(
        model["object"] == "model" and model["owned_by"] and isinstance(model["created"], int)
        for model in listing["data"]
    )


def test_each_listed_model_can_be_looked_up_and_asked(
    router: RouterProcess, sim: Simulator
) -> None:
    """What the list names exists by itself, and answers."""
    for model in router.get("/v1/models").json()["data"]:
        assert router.get(f"/v1/models/{model['id']}").json() == model
        if "embedding" not in model["id"]:
            assert content(ask(router, "Hello", model=model["id"]))


def test_an_unknown_model_is_404(router: RouterProcess) -> None:
    """Looking up a model that is not listed is OpenAI's error for it."""
    for name in ("gpt-17", "ai-router/nowhere", "../../etc/passwd", "%00"):
        answer = router.get(f"/v1/models/{name}")
        assert answer.status_code == 404
        assert error_of(answer)["type"] == "invalid_request_error"


def test_models_of_backends_are_learnt_without_a_request(make_router, sim: Simulator) -> None:
    """A backend whose model is not configured is listed soon after startup, without a
    request."""
    router = make_router(warm=False)
    eventually(
        lambda: (
            {"primary-model", "router-model"}
            <= {model["id"] for model in router.get("/v1/models").json()["data"]}
        )
    )


def test_routes_that_nobody_serves_are_not_listed(make_router, sim: Simulator) -> None:
    """Without a cloud key the list does not offer the cloud's route."""
    router = make_router(env={"XAI_API_KEY": ""}, warm=False)
    names = [model["id"] for model in router.get("/v1/models").json()["data"]]
    assert "ai-router/xai" not in names
    assert "grok-4-1-fast-reasoning" not in names


def test_the_virtual_model_can_be_named_otherwise(make_router, sim: Simulator) -> None:
    """VIRTUAL_MODEL renames the model that means: decide for me."""
    router = make_router(env={"VIRTUAL_MODEL": "house"}, warm=False)
    assert router.get("/v1/models").json()["data"][0]["id"] == "house"
    assert ask(router, "Hello", model="house").headers["X-Router-Tier"] == "reasoning"
    assert ask(router, "Hello", model="house/primary").headers["X-Router-Tier"] == "explicit"
    assert ask(router, "Hello", model="ai-router").status_code == 404


def test_routes_that_cannot_answer_are_not_listed(make_router) -> None:
    """Without a cloud there is nothing to search with; what is listed answers."""
    router = make_router(backends=("primary",))
    names = [model["id"] for model in router.get("/v1/models").json()["data"]]
    assert [name for name in names if name.startswith("ai-router")] == [
        "ai-router",
        "ai-router/primary",
        "ai-router/meta",
    ]
    for name in names:
        assert content(ask(router, "Hello", model=name))


def test_a_name_with_slashes_is_found_however_it_is_encoded(make_router) -> None:
    name = "Qwen/Qwen3-30B-A3B:fp8"
    router = make_router(config={"backends": {"primary": {"model": name}}})
    for written in (name, quote(name, safe=""), quote(quote(name, safe=""), safe="")):
        assert router.get(f"/v1/models/{written}").json()["id"] == name


def test_vectors_are_made_by_the_model_that_was_named(router: RouterProcess) -> None:
    """Or by the configured backend when none was; never by another one."""
    own = next(
        m["id"] for m in router.get("/v1/models").json()["data"] if m["owned_by"] == "embedding"
    )
    for model in ({}, {"model": None}, {"model": "ai-router"}, {"model": own}):
        assert router.post("/v1/embeddings", {"input": "one", **model}).status_code == 200
    answer = router.post("/v1/embeddings", {"input": "one", "model": "text-embedding-3-small"})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
    answer = router.post("/v1/completions", {"prompt": "one", "model": "davinci"})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
