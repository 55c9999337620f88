"""Asks one server what it can do. `CAPABILITIES` lists what is asked, in this order, and how the
answer is judged; docs/doctor.md has the same table.

All requests are small: one to 32 tokens, but for the prefix cache's prompt of 1,500.
"""

import struct
import uuid
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airouter.classify.tiers.one_token import read_shares
from airouter.doctor.http import quoted
from airouter.doctor.subject import (
    ANSWER_TOKENS,
    Found,
    Subject,
    get,
    json_of,
    lacking,
    message_of,
    thought_of,
    user,
)
from airouter.domain.labels import CLASSIFIER_LABELS
from airouter.upstream.backend import model_names, window_of
from airouter.upstream.server_load import parse_load

_RESPONSES_LEAST = 16  # max_output_tokens that OpenAI accepts
_PREFIX_WORDS = 1_200  # about 1,500 tokens: OpenAI caches prompts of 1,024 and more
_PICTURE_TOKENS = 16  # that a picture adds at the very least
_COUNT = "Count from one to twenty in English words, separated by commas. Only the words."
_COLOUR = "Name the colour of this picture in one word."
_CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The current time.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
_SWITCHES: tuple[dict[str, Any], ...] = (  # vLLM, SGLang, llama.cpp; Ollama, OpenAI, xAI
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"reasoning_effort": "none"},
)
_CHOICES: dict[str, dict[str, Any]] = {  # vLLM since 0.12, and before
    "structured_outputs": {"structured_outputs": {"choice": list(CLASSIFIER_LABELS)}},
    "guided_choice": {"guided_choice": list(CLASSIFIER_LABELS)},
}


def probe(subject: Subject) -> dict[str, Found]:
    """Ask for every capability.

    Returns:
        What was found, by the capability's name.
    """
    for capability in CAPABILITIES:
        if capability.needs_chat and not subject.chats:
            found = Found("unknown", "not asked: chat does not work")
        elif capability.dear and subject.cloud:
            found = Found("unknown", "not asked: it would cost more than the rest together")
        else:
            found = _asked(capability, subject)
        subject.found[capability.name] = found
    return subject.found


def _asked(capability: "Capability", subject: Subject) -> Found:
    try:
        return capability.ask(subject)
    except Exception as error:  # such as a text where a number belongs
        return Found("unknown", f"its answer has a form that is not expected ({error!r:.60})")


# One function for each capability ---------------------------------------------------------------


def _models(subject: Subject) -> Found:
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


def _kind(subject: Subject) -> Found:
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
    if owners == {"vllm"} and subject.server.get("/health").ok:
        return Found("yes", "its models are vLLM's, and /health answers", "vllm")
    version = subject.server.get("/api/version")
    if version.ok and isinstance(get(version.json(), "version"), str):
        return Found("yes", f"Ollama {quoted(version.json()['version'])}", "ollama")
    return Found("unknown", "no sign of vLLM, Ollama or xAI", "openai")


def _window(subject: Subject) -> Found:
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


def _chat(subject: Subject) -> Found:
    if subject.model is None:
        return Found("unknown", "not asked: no model is known")
    answer = subject.chat(_COLOUR)
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    subject.prompt_tokens = get(answer.json(), "usage", "prompt_tokens") or 0
    return Found("yes", "it answers", thought_of(answer))


def _thinking(subject: Subject) -> Found:
    thought = subject.found["chat"].value
    return Found("yes" if thought else "no", thought or "its answer had no reasoning")


def _switch(subject: Subject) -> Found:
    if subject.found["thinking"].verdict == "no":
        return Found("unknown", "it did not think, so there is nothing to switch off")
    last = Found("no", "")
    for switch in _SWITCHES:
        answer = subject.chat(_COLOUR, **switch)
        if message_of(answer) is not None and not thought_of(answer):
            subject.extra = switch
            return Found("yes", f"by {next(iter(switch))}", switch)
        last = lacking(answer) if message_of(answer) is None else Found("no", "it thinks on")
    return last


def _tools(subject: Subject) -> Found:
    last = Found("no", "")
    for choice in ("auto", "required"):
        answer = subject.chat(
            "What is the time in Oslo? Use the tool.", tools=[_CLOCK], tool_choice=choice
        )
        message = message_of(answer)
        if message is None:
            return lacking(answer)
        if get(message, "tool_calls", 0, "function", "name") == "get_time":
            return Found("yes", f"it calls the tool (tool_choice {choice})", choice)
        last = Found("no", "it answers with text instead of a call")
    return last


def _structured(subject: Subject) -> Found:
    form = {
        "type": "json_schema",
        "json_schema": {"name": "result", "strict": True, "schema": _SCHEMA},
    }
    answer = subject.chat("Say that all is well.", response_format=form)
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    value = json_of((message.get("content") or "").encode())
    if set(value) == {"ok"} and isinstance(value["ok"], bool):
        return Found("yes", "its answer conforms to the schema")
    if thought_of(answer):
        return Found("unknown", f"it was still thinking after {ANSWER_TOKENS} tokens")
    return Found("no", "its answer does not conform to the schema")


def _choice(subject: Subject) -> Found:
    last = Found("no", "")
    for name, constraint in _CHOICES.items():
        answer = subject.chat("Query: Hello", 1, logprobs=True, top_logprobs=20, **constraint)
        if answer.ok and read_shares(answer.body) is not None:
            return Found("yes", f"a label with its probability, by {name}", name)
        last = (
            lacking(answer)
            if message_of(answer) is None
            else Found("no", "it does not answer with a label and log-probabilities")
        )
    return last


def _logprobs(subject: Subject) -> Found:
    answer = subject.chat("Hello", 1, logprobs=True, top_logprobs=2)
    if message_of(answer) is None:
        return lacking(answer)
    top = get(answer.json(), "choices", 0, "logprobs", "content", 0, "logprob")
    if isinstance(top, int | float):
        return Found("yes", "its answer has them")
    return Found("no", "it ignores the request for them")


def _continuation(subject: Subject) -> Found:
    return _continues(subject, {"add_generation_prompt": False, "continue_final_message": True})


def _prefill(subject: Subject) -> Found:
    return _continues(subject, {})


def _continues(subject: Subject, how: dict[str, Any]) -> Found:
    """Whether the server goes on with the first half of its own answer, cut within a word."""
    if not subject.text:
        message = message_of(subject.chat(_COUNT)) or {}
        subject.text = (message.get("content") or "").strip()
    cut = _within_a_word(subject.text)
    if cut is None:
        return Found("unknown", "no answer that could be cut in two")
    begun, rest = subject.text[:cut], subject.text[cut:].split(maxsplit=1)[0]
    turns = [{"role": "user", "content": _COUNT}, {"role": "assistant", "content": begun}]
    answer = subject.chat(turns, **how)
    going_on = message_of(answer)
    if going_on is None:
        return lacking(answer)
    said = going_on.get("content") or ""
    if said.startswith(rest):
        return Found("yes", "it goes on within the word")
    if said.startswith(begun):
        return Found("unknown", "it repeats the beginning, or says the same anew")
    return Found("no", "it begins anew")


def _embeddings(subject: Subject) -> Found:
    if subject.model is None:
        return Found("unknown", "not asked: no model is known")
    answer = subject.server.post("/v1/embeddings", {"model": subject.model, "input": "Hello"})
    vector = get(answer.json(), "data", 0, "embedding") if answer.ok else None
    if isinstance(vector, list) and vector:
        return Found("yes", f"{len(vector):,} numbers", len(vector))
    return lacking(answer)


def _vision(subject: Subject) -> Found:
    url = f"data:image/png;base64,{b64encode(_picture()).decode()}"
    parts = [
        {"type": "text", "text": _COLOUR},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    answer = subject.chat(parts)
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    if "green" in (message.get("content") or "").lower():
        return Found("yes", "it names the picture's colour")
    counted = (get(answer.json(), "usage", "prompt_tokens") or 0) - subject.prompt_tokens
    if subject.prompt_tokens and counted >= _PICTURE_TOKENS:
        return Found("yes", f"it counts {counted:,} tokens for the picture")
    return Found("unknown", "it accepts the picture, but does not name its colour")


def _messages(subject: Subject) -> Found:
    body = {"model": subject.model, "max_tokens": 1, "messages": [user("Hello")]}
    answer = subject.server.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    if answer.ok and get(answer.json(), "type") == "message":
        return Found("yes", "/v1/messages answers")
    return lacking(answer)


def _responses(subject: Subject) -> Found:
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


def _prefix_cache(subject: Subject) -> Found:
    text = f"{uuid.uuid4()} " + "word and " * (_PREFIX_WORDS // 2)
    before = _hits(subject)
    answers = [subject.chat(text, 1) for _ in range(2)]
    if message_of(answers[1]) is None:
        return lacking(answers[1])
    cached = get(answers[1].json(), "usage", "prompt_tokens_details", "cached_tokens")
    if isinstance(cached, int) and cached > 0:
        return Found("yes", f"{cached:,} tokens of a repeated prompt were cached")
    after = _hits(subject)
    if before is not None and after is not None:
        if after > before:
            return Found("yes", "its share of hits grows, says /metrics")
        return Found("no", "its share of hits does not grow, says /metrics")
    return Found("unknown", "the server does not state it")


def _hits(subject: Subject) -> float | None:
    load = parse_load(subject.server.get("/metrics").body)
    return load.hit_ratio or 0.0 if load is not None else None


def _load(subject: Subject) -> Found:
    answer = subject.server.get("/metrics")
    load = parse_load(answer.body) if answer.ok else None
    if load is not None:
        return Found("yes", f"{load.running:.0f} running, {load.waiting:.0f} waiting")
    return (
        Found("no", "/metrics states no load that the router reads")
        if answer.ok
        else lacking(answer)
    )


def _within_a_word(text: str) -> int | None:
    """A place in the middle of a text with two letters or digits on either side of it."""
    for at in range(len(text) // 2, len(text) - 1):
        if at >= 2 and text[at - 2 : at + 2].isalnum():
            return at
    return None


def _picture() -> bytes:
    """A green PNG of 64 by 64 pixels; some models refuse pictures of less than 28."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\0\xc0\0" * 64) * 64
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@dataclass(frozen=True, slots=True)
class Capability:
    """What is asked. `dear`: not asked of a cloud."""

    name: str
    ask: Callable[[Subject], Found]
    needs_chat: bool = True
    dear: bool = False


CAPABILITIES: tuple[Capability, ...] = (
    Capability("models", _models, needs_chat=False),
    Capability("kind", _kind, needs_chat=False),
    Capability("window", _window, needs_chat=False),
    Capability("chat", _chat, needs_chat=False),
    Capability("thinking", _thinking),
    Capability("thinking_switch", _switch),
    Capability("tools", _tools),
    Capability("structured_output", _structured),
    Capability("choice", _choice),
    Capability("logprobs", _logprobs),
    Capability("continuation", _continuation),
    Capability("prefill", _prefill),
    Capability("embeddings", _embeddings, needs_chat=False),
    Capability("vision", _vision),
    Capability("messages", _messages),
    Capability("responses", _responses),
    Capability("prefix_cache", _prefix_cache, dear=True),
    Capability("load", _load, needs_chat=False),
)
