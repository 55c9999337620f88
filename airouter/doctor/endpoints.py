"""Asks one server for its lists, its other endpoints and its metrics, one function for each
capability."""

import re
import uuid

from airouter.doctor.http import Answer, quoted
from airouter.doctor.subject import Found, Subject, get, json_of, lacking, message_of, user
from airouter.upstream.backend import model_names, window_of
from airouter.upstream.server_load import parse_load

_RESPONSES_LEAST = 16  # max_output_tokens that OpenAI accepts
_PREFIX_WORDS = (1_200, 300, 120)  # the first is 1,500 tokens: some cache from 1,024 on
_TOO_LONG = re.compile(rb"maximum context length is ([1-9]\d{1,8}) tokens")
_HITS = re.compile(rb"^vllm:prefix_cache_hits(?:_total)?[ {].*?([0-9.eE+]+)$", re.MULTILINE)


def models(subject: Subject) -> Found:
    answer = subject.server.get("/v1/models")
    if not answer.ok:
        return lacking(answer)
    names = model_names(answer.body)
    if not names:
        said = "it lists no model" if isinstance(answer.json(), dict) else answer.said()
        return Found("no", said)
    subject.models, subject.listed = names, answer.body
    subject.model = subject.model or names[0]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Found("yes", quoted(shown), names)


def health(subject: Subject) -> Found:
    answer = subject.server.get("/health")
    return Found("yes", "/health answers") if answer.ok else lacking(answer)


def kind(subject: Subject) -> Found:
    """Which `kind` fits: by the owner of the models, then by paths that only one kind has."""
    owners = {
        entry.get("owned_by")
        for entry in (json_of(subject.listed).get("data") or [])
        if isinstance(entry, dict) and isinstance(entry.get("owned_by"), str)
    }
    if owners == {"xai"}:
        return Found("yes", "its models are xAI's", "xai")
    if subject.cloud:
        return Found("unknown", "a cloud without a sign of its kind", "openai")
    if owners == {"vllm"} and subject.found["health"].verdict == "yes":
        return Found("yes", "its models are vLLM's, and /health answers", "vllm")
    version = subject.server.get("/api/version")
    if version.ok and isinstance(get(version.json(), "version"), str):
        return Found("yes", f"Ollama {quoted(version.json()['version'])}", "ollama")
    return Found("unknown", "no sign of vLLM, Ollama or xAI", "openai")


def window(subject: Subject) -> Found:
    window = window_of(subject.listed, subject.model or "")
    if window:
        return Found("yes", f"{window:,} tokens, says /v1/models", window)
    if subject.cloud:
        return Found("unknown", "/v1/models does not state it")
    ollama = subject.found["kind"].value == "ollama"
    path = "/api/ps" if ollama else "/props"  # of models that are loaded; llama.cpp's server
    answer = subject.server.get(path)
    stated = answer.json() if answer.ok else None
    value = get(stated, "default_generation_settings", "n_ctx")
    if ollama:
        loaded = get(stated, "models")
        for entry in loaded if isinstance(loaded, list) else ():
            if get(entry, "name") == subject.model:
                value = get(entry, "context_length")
    if isinstance(value, int) and value > 0:
        return Found("yes", f"{value:,} tokens, says {path}", value)
    return Found("unknown", "the server does not state it")


def embeddings(subject: Subject) -> Found:
    if subject.model is None:
        return Found("unknown", "not asked: no model is known")
    answer = subject.server.post("/v1/embeddings", {"model": subject.model, "input": "Hello"})
    vector = get(answer.json(), "data", 0, "embedding") if answer.ok else None
    if isinstance(get(vector, 0), list):
        return Found("no", "it answers with a vector for each token, not for the text")
    if isinstance(vector, list) and vector:
        return Found("yes", f"{len(vector):,} numbers", len(vector))
    return lacking(answer)


def messages(subject: Subject) -> Found:
    body = {"model": subject.model, "max_tokens": 1, "messages": [user("Hello")]}
    answer = subject.server.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    if answer.ok and get(answer.json(), "type") == "message":
        return Found("yes", "/v1/messages answers")
    return lacking(answer)


def responses(subject: Subject) -> Found:
    body = {
        "model": subject.model,
        "input": "Hello",
        "max_output_tokens": _RESPONSES_LEAST,
        "store": False,
    }
    answer = subject.server.post("/v1/responses", body)
    if answer.ok and isinstance(get(answer.json(), "output"), list):
        return Found("yes", "/v1/responses answers")
    return lacking(answer)


def prefix_cache(subject: Subject) -> Found:
    """By the longest prompt that is accepted: a window may be small, and so may be tokens."""
    for words in _PREFIX_WORDS:
        text = f"{uuid.uuid4()} " + "word and " * (words // 2)
        first = subject.chat(text, 1)
        if message_of(first) is not None or lacking(first).verdict != "no":
            break
        _learn_window(subject, first)
    before = _hits(subject)
    second = subject.chat(text, 1) if message_of(first) is not None else first
    if message_of(second) is None:
        return lacking(second)
    cached = get(second.json(), "usage", "prompt_tokens_details", "cached_tokens")
    if isinstance(cached, int) and cached > 0:
        return Found("yes", f"{cached:,} tokens of a repeated prompt were cached")
    after = _hits(subject)
    if before is not None and after is not None:
        if after > before:
            return Found("yes", f"{after - before:,.0f} tokens were hits, says /metrics")
        return Found("no", "a repeated prompt has no hits, says /metrics")
    return Found("unknown", "the server does not state it")


def _learn_window(subject: Subject, refusal: Answer) -> None:
    """From the words of OpenAI, which many servers use, when they have not stated it before."""
    stated = _TOO_LONG.search(refusal.body)
    if stated and subject.found["window"].verdict != "yes":
        tokens = int(stated[1])
        subject.found["window"] = Found(
            "yes", f"{tokens:,} tokens, as it says when it refuses a prompt", tokens
        )


def _hits(subject: Subject) -> float | None:
    """The tokens that vLLM has found in its cache since it was started."""
    answer = subject.server.get("/metrics")
    values = _HITS.findall(answer.body) if answer.ok else []
    return sum(float(value) for value in values) if values else None


def load(subject: Subject) -> Found:
    answer = subject.server.get("/metrics")
    load = parse_load(answer.body) if answer.ok else None
    if load is not None:
        return Found("yes", f"{load.running:.0f} running, {load.waiting:.0f} waiting")
    return (
        Found("no", "/metrics states no load that the router reads")
        if answer.ok
        else lacking(answer)
    )
