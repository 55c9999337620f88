"""How each answer is judged: yes, no or unknown, with the evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docs_pages import cells

from airouter.doctor.measure import measure
from airouter.doctor.probe import CAPABILITIES, probe
from airouter.doctor.subject import Found, Subject
from airouter.settings.load import ROOT
from tests.doctor.conftest import completion

ASK = {capability.name: capability.ask for capability in CAPABILITIES}
CHAT = [c.name for c in CAPABILITIES if c.needs_chat and c.name not in ("thinking",)]
POSTED = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
_PS = {"models": [{"name": "n", "context_length": 4096}, {"name": "m", "context_length": 8192}]}
METRICS = "vllm:num_requests_running 2.0\nvllm:num_requests_waiting 1.0\n"


def judged(subject: Subject, name: str, *, thinks: str = "") -> Found:
    """The verdict on one capability of a server that answers chat."""
    subject.found.setdefault("chat", Found("yes", "", thinks))
    subject.found.setdefault("thinking", Found("yes" if thinks else "no", thinks))
    return ASK[name](subject)


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


@pytest.mark.parametrize("status", [401, 404])
def test_without_a_list_of_models_the_configured_one_is_asked(imitated, subject, status):
    imitated.get("/v1/models", "", status)
    assert ASK["models"](subject).verdict == ("unknown" if status == 401 else "no")
    assert subject.model == "m"


@pytest.mark.parametrize("body", ["<html>", "{", '{"data": []}', '{"data": 3}', "[1]"])
def test_a_list_of_models_that_is_none(imitated, subject, body):
    imitated.get("/v1/models", body)
    assert ASK["models"](subject).verdict == "no"


def test_nothing_is_asked_of_a_model_that_is_not_known(imitated, subject):
    subject.model = None
    for path in ("/v1/models", "/metrics", "/api/version", "/props"):
        imitated.get(path, "", 404)
    found = probe(subject)
    assert {found[name].verdict for name in CHAT} == {"unknown"}
    assert imitated.asked == []


# Each capability ----------------------------------------------------------------------------------


def test_models_and_window(imitated, subject):
    entry = {"id": "m", "owned_by": "vllm", "max_model_len": 4096}
    imitated.get("/v1/models", {"data": [entry]})
    imitated.get("/health", "")
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
    "message",
    [{"reasoning_content": "hm"}, {"reasoning": "hm"}, {"content": "<think>hm</think> yes"}],
)
def test_thinking_and_its_switch(imitated, subject, message):
    def reply(sent: dict[str, Any]) -> Any:
        return completion("yes") if sent.get("reasoning_effort") == "none" else whole

    whole = completion(**{"content": None, **message})
    imitated.chat(reply)
    subject.found["chat"] = ASK["chat"](subject)
    subject.found["thinking"] = ASK["thinking"](subject)
    assert subject.found["thinking"].verdict == "yes"
    assert ASK["thinking_switch"](subject).value == {"reasoning_effort": "none"}
    subject.chat("later requests do not think")
    assert imitated.asked[-1][1]["reasoning_effort"] == "none"


def test_thinking_that_cannot_be_switched_off(imitated, subject):
    imitated.chat(completion("yes", reasoning="hm"))
    assert judged(subject, "thinking_switch", thinks="thinks").verdict == "no"
    assert subject.extra == {}


@pytest.mark.parametrize(("by", "verdict"), [("auto", "yes"), ("required", "yes"), ("", "no")])
def test_tools(imitated, subject, by, verdict):
    call = [{"id": "1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]
    imitated.chat(
        lambda sent: completion(None, tool_calls=call if sent["tool_choice"] == by else None)
    )
    assert judged(subject, "tools").verdict == verdict


@pytest.mark.parametrize(
    ("content", "verdict"),
    [('{"ok": true}', "yes"), ('{"ok": 1}', "no"), ("All is well.", "no"), (None, "no"),
     ("<think>let me", "unknown")],
)  # fmt: skip
def test_structured_output(imitated, subject, content, verdict):
    imitated.chat(completion(content))
    assert judged(subject, "structured_output").verdict == verdict


def with_logprobs(token: str) -> dict[str, Any]:
    answer = completion(token)
    entry = {"token": token, "logprob": -0.1, "top_logprobs": []}
    answer["choices"][0]["logprobs"] = {"content": [entry]}
    return answer


@pytest.mark.parametrize("by", ["structured_outputs", "guided_choice"])
def test_a_choice_of_labels(imitated, subject, by):
    imitated.chat(lambda sent: with_logprobs("SIM" if by in sent else "Hello"))
    found = judged(subject, "choice")
    assert (found.verdict, found.value) == ("yes", by)


def test_a_server_that_ignores_the_choice(imitated, subject):
    imitated.chat(with_logprobs("Hello"))
    assert judged(subject, "choice").verdict == "no"
    assert judged(subject, "logprobs").verdict == "yes"


def test_no_logprobs(imitated, subject):
    imitated.chat(completion())
    assert judged(subject, "logprobs").verdict == "no"


@pytest.mark.parametrize("name", ["continuation", "prefill"])
@pytest.mark.parametrize(
    ("said", "verdict"),
    [("{rest}, four", "yes"), ("{begun}{rest}, four", "unknown"), ("Sure: one", "no"), ("", "no")],
)
def test_an_answer_is_continued(imitated, subject, name, said, verdict):
    def reply(sent: dict[str, Any]) -> Any:
        if sent["messages"][-1]["role"] == "user":
            return completion(text)
        assert sent.get("continue_final_message", False) == (name == "continuation")
        begun = sent["messages"][-1]["content"]
        rest = text[len(begun) :].split(",")[0]
        return completion(said.replace("{rest}", rest).replace("{begun}", begun))

    text = "one, two, three, four"
    imitated.chat(reply)
    assert judged(subject, name).verdict == verdict


def test_an_answer_too_short_to_cut(imitated, subject):
    imitated.chat(completion("1"))
    assert judged(subject, "prefill").verdict == "unknown"


@pytest.mark.parametrize(
    ("body", "status", "verdict"),
    [
        ({"data": [{"embedding": [0.1, 0.2]}]}, 200, "yes"),
        ({"data": []}, 200, "unknown"),
        ({"error": {"message": "not an embedding model"}}, 400, "no"),
        (b"", 404, "no"),
    ],
)
def test_embeddings(imitated, subject, body, status, verdict):
    imitated.post("/v1/embeddings", body, status)
    assert ASK["embeddings"](subject).verdict == verdict


@pytest.mark.parametrize(
    ("content", "tokens", "verdict"),
    [("It is green.", 20, "yes"), ("Blue.", 300, "yes"), ("Blue.", 22, "unknown")],
)
def test_vision(imitated, subject, content, tokens, verdict):
    subject.prompt_tokens = 20
    imitated.chat({**completion(content), "usage": {"prompt_tokens": tokens}})
    assert judged(subject, "vision").verdict == verdict


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


def test_the_load(imitated, subject):
    imitated.get("/metrics", METRICS)
    assert ASK["load"](subject).evidence == "2 running, 1 waiting"


def test_a_load_in_another_form(imitated, subject):
    imitated.get("/metrics", "llamacpp:requests_processing 1\n")
    assert ASK["load"](subject).verdict == "no"


def test_a_cloud_is_not_asked_what_is_dear(imitated, subject):
    subject.cloud = True
    imitated.get("/v1/models", {"data": [{"id": "m", "owned_by": "system"}]})
    imitated.get("/metrics", "", 404)
    imitated.chat(completion())
    for path in ("/v1/messages", "/v1/responses", "/v1/embeddings"):
        imitated.post(path, b"", 404)
    assert "it would cost more" in probe(subject)["prefix_cache"].evidence
    assert max(len(json.dumps(sent)) for _, sent in imitated.asked) < 2000
