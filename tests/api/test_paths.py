"""Base URLs as people configure them: what is meant is served, and nothing is ever redirected."""

from __future__ import annotations

import pytest
from harness import body, content, error_of

from airouter.api.paths import canonical
from bench.router_process import RouterProcess


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1//chat///completions//", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/V1/Chat/Completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/completions/", "/v1/completions"),
        ("/embeddings", "/v1/embeddings"),
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/models/", "/v1/models"),
        ("/v1/v1/models/Org/Model:Tag", "/v1/models/Org/Model:Tag"),
        ("/models/Org/Model", "/v1/models/Org/Model"),
        ("//models//a//b/", "/v1/models/a//b"),
        ("/v1/models//", "/v1/models"),
        ("/", "/"),
        ("//", "/"),
        ("", ""),
        ("/health/", "/health"),
        ("//admin//drain", "/admin/drain"),
        ("/primary/v1/models", "/primary/v1/models"),
        ("/v1", "/v1"),
        ("/v1/responses", "/v1/responses"),
        ("/Responses/resp_Ab/", "/v1/responses/resp_Ab"),
        ("/v1/v1/responses/resp_Ab/Cancel", "/v1/responses/resp_Ab/cancel"),
        ("/responses/input_tokens", "/v1/responses/input_tokens"),
        ("/primary/v1/responses/x", "/primary/v1/responses/x"),
        ("/moon", "/moon"),
    ],
)
def test_what_is_meant(asked: str, served: str) -> None:
    assert canonical(asked) == served


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions?api-version=2024-06-01",
    ],
)
def test_a_chat_is_answered(router: RouterProcess, path: str) -> None:
    answer = router.post(path, body("Hello", model="ai-router/primary"))
    assert answer.history == []
    assert content(answer)


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/models", "/v1//models"])
def test_the_models_are_listed(router: RouterProcess, path: str) -> None:
    answer = router.get(path)
    assert (answer.status_code, answer.history) == (200, [])
    assert answer.json() == router.get("/v1/models").json()


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/api/v1/chat/completions", "POST /v1/chat/completions"),
        ("/openai/deployments/x/chat/completions", "POST /v1/chat/completions"),
        ("/openai/v1/embeddings", "POST /v1/embeddings"),
        ("/api/models", "GET /v1/models"),
        ("/anthropic/v1/messages", "POST /v1/messages"),
        ("/openai/v1/responses", "POST /v1/responses"),
        ("/v1/responses/compact/it", "POST /v1/responses"),
        ("/moon", "GET /"),
    ],
)
def test_another_path_is_404_that_says_where_it_is(
    router: RouterProcess, path: str, where: str
) -> None:
    answer = router.post(path, body("Hello"))
    assert (answer.status_code, error_of(answer)["code"]) == (404, "unknown_url")
    assert where in error_of(answer)["message"]


def test_surplus_slashes_do_not_lead_past_a_key(make_router) -> None:
    router = make_router(env={"API_KEY": "k", "ADMIN_KEY": "a"})
    for path in (
        "//v1/models",
        "/models",
        "/health/../v1/models",
        "//admin/status",
        "/v1/v1/models",
    ):
        assert router.get(path, headers={"Authorization": ""}).status_code in (401, 404), path
