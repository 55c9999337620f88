"""How each answer is judged: yes, no or unknown, with the evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docs_pages import cells

from airouter.doctor.measure import measure
from airouter.doctor.probe import CAPABILITIES, probe
from airouter.settings.load import ROOT
from tests.doctor.conftest import completion, judged

CHAT = [c.name for c in CAPABILITIES if c.needs_chat and c.name not in ("thinking",)]
POSTED = ("/v1/chat/completions", "/v1/messages", "/v1/responses")


def test_the_page_lists_what_is_asked():
    rows = cells(ROOT / "docs" / "doctor.md", "## What is asked")
    assert [row[0].strip("`") for row in rows] == [c.name for c in CAPABILITIES]
    assert all(row[1] and row[2] for row in rows)


# Faults: the same for all that is asked -----------------------------------------------------------


def fail_everywhere(imitated: Any, body: Any, status: int) -> None:
    for path in POSTED:
        imitated.post(path, body, status)
    imitated.get("/metrics", "", 404)


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (404, b"", "no"),
        (400, b'{"error": {"message": "not supported"}}', "no"),
        (401, b"", "unknown"),
        (500, b"", "unknown"),
        (200, b"<html>", "unknown"),
        (200, b"{", "unknown"),
        (302, b"", "unknown"),
    ],
)
def test_an_answer_that_is_none(imitated, subject, name, status, body, verdict):
    fail_everywhere(imitated, body, status)
    subject.text = "one, two, three, four"
    found = judged(subject, name, thinks="thinks" if name == "thinking_switch" else "")
    assert found.verdict == verdict
    assert found.evidence
    assert (found.value == "key") == (status == 401)


STRANGE = [
    {"choices": [{"message": {"content": [1]}}]},
    {"choices": {"0": 1}},
    {"choices": [None], "usage": 3, "error": {"message": 5}},
    {**completion("x"), "usage": {"prompt_tokens": "many", "completion_tokens_details": 1}},
    {**completion("x"), "choices": [{"message": {"content": "x", "tool_calls": "y"}}]},
    {"data": [{"embedding": "x"}], "output": 1, "type": []},
    [[]],
    None,
]


@pytest.mark.parametrize("body", STRANGE)
def test_answers_of_a_strange_form_are_no_error(imitated, subject, body):
    imitated.get("/v1/models", {"data": [{"id": "m", "owned_by": 3, "max_model_len": "x"}]})
    imitated.get("/api/version", body)
    imitated.get("/props", body)
    imitated.get("/metrics", body)
    for path in (*POSTED, "/v1/embeddings"):
        imitated.post(path, body)
    found = probe(subject)
    assert {found[name].verdict for name in ("tools", "vision", "embeddings", "load")} <= {
        "no", "unknown",
    }  # fmt: skip
    assert measure(subject).tokens_per_s is None


def test_nothing_is_asked_of_a_model_that_is_not_known(imitated, subject):
    subject.model = None
    for path in ("/v1/models", "/metrics", "/api/version", "/props"):
        imitated.get(path, "", 404)
    found = probe(subject)
    assert {found[name].verdict for name in CHAT} == {"unknown"}
    assert imitated.asked == []


def test_a_cloud_is_not_asked_what_is_dear(imitated, subject):
    subject.cloud = True
    imitated.get("/v1/models", {"data": [{"id": "m", "owned_by": "system"}]})
    imitated.get("/metrics", "", 404)
    imitated.chat(completion())
    for path in ("/v1/messages", "/v1/responses", "/v1/embeddings"):
        imitated.post(path, b"", 404)
    assert "it would cost more" in probe(subject)["prefix_cache"].evidence
    assert max(len(json.dumps(sent)) for _, sent in imitated.asked) < 2000


# A server that fails where it lacks something ----------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "verdict"),
    [(["not loaded for that", "not loaded for that"], "no"), (["busy 1", "busy 2"], "unknown")],
)
def test_a_failure_that_says_why_is_asked_for_again(imitated, subject, messages, verdict):
    left = iter(messages)
    for path in ("/v1/models", "/api/version", "/props", "/metrics"):
        imitated.get(path, "", 404)
    for path in POSTED:
        imitated.post(path, completion())
    imitated.post("/v1/embeddings", lambda _: (500, {"error": {"message": next(left)}}))
    found = probe(subject)["embeddings"]
    assert (found.verdict, found.evidence) == (verdict, f"status 500: {messages[0]}")
    assert next(left, None) is None
