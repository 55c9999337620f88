"""Ollama's native API over HTTP: what its libraries do not show."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from harness import eventually, is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator


def chat(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "ai-router", "messages": [{"role": "user", "content": text}], **fields}


def test_a_chat_is_routed_and_recorded_like_any_other(
    router: RouterProcess, sim: Simulator
) -> None:
    """A stream of lines by default, even for a body without a type; headers steer and explain."""
    before = sum(route["requests"] for route in router.stats()["routes"].values())
    url = f"{router.url}/api/chat"
    raw = json.dumps(chat(steer("Hm?", router={"label": "COMPLEX"})))
    answer = requests.post(url, data=raw, timeout=20)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert (answer.headers["X-Router-Route"], answer.headers["X-Router-Backend"]) == ("xai", "xai")
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert is_whole("".join(line["message"]["content"] for line in lines))
    forced = requests.post(
        url, json=chat(stream=False), headers={"X-Router-Route": "xai"}, timeout=20
    )
    assert forced.headers["Content-Type"] == "application/json"
    assert forced.headers["X-Router-Backend"] == "xai"
    requests.post(url, json={"model": "ai-router:latest"}, timeout=20)  # it asks nothing
    eventually(lambda: sum(r["requests"] for r in router.stats()["routes"].values()) == before + 2)


def test_a_waiting_client_is_sent_blanks(impatient_router: RouterProcess, sim: Simulator) -> None:
    """Which belong to the next line; an error is a line by then."""
    for fault, last in ((None, "done"), ("html", "error")):
        text = steer("Hello", primary={"ttft_ms": 700, **({"fault": fault} if fault else {})})
        answer = requests.post(
            f"{impatient_router.url}/api/chat", json=chat(text, model="ai-router/primary"),
            timeout=20,
        )  # fmt: skip
        if fault is None:
            assert answer.content.startswith(b" ")
        lines = [json.loads(line) for line in answer.content.splitlines()]
        assert lines[-1][last]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/api/chat", {"messages": [], "model": "gpt-17"}, 404, "gpt-17"),
        ("POST", "/api/chat", {"messages": "Hi"}, 400, "'messages'"),
        ("POST", "/api/chat", {"messages": [{"content": "Hi"}]}, 400, "role"),
        ("POST", "/api/generate", {"prompt": "Hi", "context": [1]}, 400, "/api/chat"),
        ("POST", "/api/show", {"model": "gpt-17"}, 404, "/api/tags"),
        ("POST", "/api/show", {}, 400, "'model'"),
        ("GET", "/api/chat", None, 405, "POST"),
        ("POST", "/api/tags", {}, 405, "GET"),
        ("DELETE", "/api/delete", {}, 404, "does not manage models"),
        ("POST", "/api/blobs/sha256:0", {}, 404, "does not manage models"),
    ],
)
def test_errors_have_ollamas_shape(
    router: RouterProcess, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = requests.request(method, router.url + path, json=body, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert said in answer.json()["error"]


def test_a_backends_error_has_it_too(router: RouterProcess, sim: Simulator) -> None:
    text = steer("Hello", primary={"fault": {"name": "error_status", "status": 422}})
    answer = router.post("/api/chat", chat(text, model="ai-router/primary:latest"))
    assert answer.status_code == 422
    assert isinstance(answer.json()["error"], str)


def test_who_may_use_it(make_router, sim: Simulator) -> None:
    """The holder of the key, on pages too; without a key, programs alone."""
    guarded = make_router(env={"API_KEY": "right"}, warm=False)
    page = {"Origin": "https://chat.example.org"}
    for path in ("/api/tags", "/api/version"):
        refused = requests.get(guarded.url + path, headers=page, timeout=10)
        assert (refused.status_code, type(refused.json()["error"])) == (401, str)
        key = {"Authorization": "Bearer right"}
        served = requests.get(guarded.url + path, headers=page | key, timeout=10)
        assert (served.status_code, served.headers["Access-Control-Allow-Origin"]) == (200, "*")
    open_to_all = make_router(warm=False)
    assert requests.head(f"{open_to_all.url}/api/version", timeout=10).status_code == 200
    assert requests.head(open_to_all.url, timeout=10).status_code == 200
    answer = requests.post(f"{open_to_all.url}/api/chat", json=chat(), headers=page, timeout=10)
    assert (answer.status_code, type(answer.json()["error"])) == (403, str)


def test_the_old_form_of_embeddings_and_no_text(router: RouterProcess, sim: Simulator) -> None:
    assert router.post("/api/embeddings", {"model": "ai-router", "prompt": "a"}).json()["embedding"]
    assert router.post("/api/embed", {"model": "ai-router", "input": []}).json()["embeddings"] == []
    assert router.post("/api/embeddings", {"prompt": ""}).json() == {"embedding": []}
    assert sim.stats("embedding")["started"] == 1
