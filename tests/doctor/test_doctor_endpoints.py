"""How a server's lists, endpoints and metrics are judged: yes, no or unknown, with the evidence."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.doctor.subject import Found
from tests.doctor.conftest import ASK, completion, judged

_PS = {"models": [{"name": "n", "context_length": 4096}, {"name": "m", "context_length": 8192}]}
METRICS = "vllm:num_requests_running 2.0\nvllm:num_requests_waiting 1.0\n"


@pytest.mark.parametrize("body", ["<html>", "{", '{"data": []}', '{"data": 3}', "[1]"])
def test_a_list_of_models_that_is_none(imitated, subject, body):
    imitated.get("/v1/models", body)
    assert ASK["models"](subject).verdict == "no"


@pytest.mark.parametrize("status", [401, 404])
def test_without_a_list_of_models_the_configured_one_is_asked(imitated, subject, status):
    imitated.get("/v1/models", "", status)
    assert ASK["models"](subject).verdict == ("unknown" if status == 401 else "no")
    assert subject.model == "m"


def test_models_and_window(imitated, subject):
    entry = {"id": "m", "owned_by": "vllm", "max_model_len": 4096}
    imitated.get("/v1/models", {"data": [entry]})
    subject.found["health"] = Found("yes", "")
    assert ASK["models"](subject).value == ["m"]
    assert ASK["kind"](subject).value == "vllm"
    assert ASK["window"](subject).value == 4096


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/props", {"default_generation_settings": {"n_ctx": 8192}}, "openai"),
        ("/api/ps", _PS, "ollama"),
    ],
)
def test_the_window_from_elsewhere(imitated, subject, path, body, kind):
    imitated.get(path, body)
    subject.found["kind"] = Found("yes", "", kind)
    found = ASK["window"](subject)
    assert (found.verdict, found.value) == ("yes", 8192)
    assert path in found.evidence


@pytest.mark.parametrize(
    ("body", "status", "verdict"),
    [
        ({"data": [{"embedding": [0.1, 0.2]}]}, 200, "yes"),
        ({"data": []}, 200, "unknown"),
        ({"data": [{"embedding": [[0.1, 0.2], [0.3, 0.4]]}]}, 200, "no"),  # one for each token
        ({"error": {"message": "not an embedding model"}}, 400, "no"),
        (b"", 404, "no"),
    ],
)
def test_embeddings(imitated, subject, body, status, verdict):
    imitated.post("/v1/embeddings", body, status)
    assert ASK["embeddings"](subject).verdict == verdict


def test_messages_and_responses(imitated, subject):
    imitated.post("/v1/messages", {"type": "message", "content": []})
    imitated.post("/v1/responses", {"object": "response", "output": []})
    assert judged(subject, "messages").verdict == "yes"
    assert judged(subject, "responses").verdict == "yes"
    assert "tools" not in imitated.asked[-1][1]  # no web search


@pytest.mark.parametrize(("cached", "verdict"), [(1024, "yes"), (0, "unknown")])
def test_the_prefix_cache_by_usage(imitated, subject, cached, verdict):
    usage = {"prompt_tokens": 1500, "prompt_tokens_details": {"cached_tokens": cached}}
    imitated.get("/metrics", "", 404)
    imitated.chat({**completion(), "usage": usage})
    assert judged(subject, "prefix_cache").verdict == verdict
    first, second = (sent["messages"] for _, sent in imitated.asked)
    assert first == second


@pytest.mark.parametrize(("again", "verdict"), [(1450, "yes"), (0, "no")])
@pytest.mark.parametrize("before", [0, 99_000], ids=["new", "busy"])
def test_the_prefix_cache_by_metrics(imitated, subject, before, again, verdict):
    """On a busy server one more prompt lowers the share of hits."""
    hits = "vllm:prefix_cache_queries_total 100000\nvllm:prefix_cache_hits_total {}.0\n"
    for value in (before, before + again):
        imitated.get("/metrics", hits.format(value))
    imitated.chat(completion())
    assert judged(subject, "prefix_cache").verdict == verdict


@pytest.mark.parametrize(
    ("room", "asked", "verdict"), [(9000, 2, "yes"), (3000, 3, "yes"), (10, 3, "no")]
)
def test_the_prefix_caches_prompt_fits_into_the_window(imitated, subject, room, asked, verdict):
    def reply(sent: dict[str, Any]) -> Any:
        if len(sent["messages"][0]["content"]) > room:
            return 400, {"error": {"message": "too long"}}
        return {**completion(), "usage": {"prompt_tokens_details": {"cached_tokens": 9}}}

    imitated.get("/metrics", "", 404)
    imitated.chat(reply)
    assert judged(subject, "prefix_cache").verdict == verdict
    assert len(imitated.asked) == asked


@pytest.mark.parametrize("stated", [True, False])
def test_a_refused_prompt_tells_the_window(imitated, subject, stated):
    refusal = {"error": {"message": "This model's maximum context length is 512 tokens."}}
    imitated.get("/metrics", "", 404)
    imitated.chat(lambda sent: (400, refusal) if "word and" in str(sent) else completion())
    subject.found["window"] = Found("yes" if stated else "unknown", "", 4096 if stated else None)
    judged(subject, "prefix_cache")
    assert subject.found["window"].value == (4096 if stated else 512)


@pytest.mark.parametrize(("status", "verdict"), [(200, "yes"), (404, "no"), (503, "unknown")])
def test_health(imitated, subject, status, verdict):
    imitated.get("/health", "", status)
    assert ASK["health"](subject).verdict == verdict


def test_the_load(imitated, subject):
    imitated.get("/metrics", METRICS)
    assert ASK["load"](subject).evidence == "2 running, 1 waiting"


def test_a_load_in_another_form(imitated, subject):
    imitated.get("/metrics", "llamacpp:requests_processing 1\n")
    assert ASK["load"](subject).verdict == "no"
