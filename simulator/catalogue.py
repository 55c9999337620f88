"""Endpoints other than generation: models, version, health, load, metrics, tokenize."""

from __future__ import annotations

import time
from typing import Any

import orjson

from simulator.answer import send_body
from simulator.prompts import check_model, read_messages, read_prompt
from simulator.role import Exchange, Role
from simulator.text import token_ids
from simulator.wire import Sent

_OWNERS = {"vllm": "vllm", "ollama": "library", "xai": "xai"}
_STARTED = int(time.time())


async def answer_get(ex: Exchange) -> Sent | None:
    """Answer a GET, or None where the real server has nothing at this path."""
    role, path = ex.role, ex.path
    kind = role.profile.kind
    if path == "/v1/models":
        return await _json(ex, {"object": "list", "data": _models(role)})
    if path.startswith("/v1/models/") and role.serves(path.removeprefix("/v1/models/")):
        wanted = path.removeprefix("/v1/models/")
        return await _json(ex, next(model for model in _models(role) if model["id"] == wanted))
    if kind == "vllm":
        if path in ("/health", "/ping"):
            return await send_body(ex, 200, b"", "")
        if path == "/version":
            return await _json(ex, {"version": role.profile.version})
        if path == "/load":
            return await _json(ex, {"server_load": role.slots.running + role.slots.waiting})
        if path == "/metrics":
            return await send_body(
                ex, 200, _metrics(role), "text/plain; version=0.0.4; charset=utf-8"
            )
    if kind == "ollama":
        if path == "/":
            return await send_body(ex, 200, b"Ollama is running", "text/plain; charset=utf-8")
        if path == "/api/version":
            return await _json(ex, {"version": role.profile.version})
        if path == "/api/tags":
            return await _json(
                ex,
                {
                    "models": [
                        {"name": model["id"], "model": model["id"]} for model in _models(role)
                    ]
                },
            )
    return None


async def tokenize(ex: Exchange) -> Sent:
    check_model(ex.role, ex.body)
    prompt = (
        read_messages(ex.body["messages"])
        if "messages" in ex.body
        else read_prompt(ex.body.get("prompt"))
    )
    tokens = token_ids(prompt.text)
    # A chat template adds tokens that are not in the text.
    tokens += [0] * (prompt.tokens - len(tokens))
    return await _json(
        ex, {"count": len(tokens), "max_model_len": ex.role.profile.max_model_len, "tokens": tokens}
    )


async def _json(ex: Exchange, value: Any) -> Sent:
    return await send_body(ex, 200, orjson.dumps(value))


def _models(role: Role) -> list[dict[str, Any]]:
    profile = role.profile
    result: list[dict[str, Any]] = []
    for name in (profile.model, *profile.models):
        model: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": _STARTED,
            "owned_by": _OWNERS.get(profile.kind, "simulated"),
        }
        if profile.kind == "vllm":
            model |= {"root": name, "parent": None, "max_model_len": profile.max_model_len}
        result.append(model)
    return result


def _metrics(role: Role) -> bytes:
    label = f'{{engine="0",model_name="{role.profile.model}"}}'
    stats = role.stats
    lines = [
        "# HELP vllm:num_requests_running Number of requests in model execution batches.",
        "# TYPE vllm:num_requests_running gauge",
        f"vllm:num_requests_running{label} {float(role.slots.running)}",
        "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.",
        "# TYPE vllm:num_requests_waiting gauge",
        f"vllm:num_requests_waiting{label} {float(role.slots.waiting)}",
        "# HELP vllm:generation_tokens_total Number of generation tokens processed.",
        "# TYPE vllm:generation_tokens_total counter",
        f"vllm:generation_tokens_total{label} {float(stats.tokens_generated)}",
        "# HELP vllm:prefix_cache_queries_total Prefix cache queries, in tokens.",
        "# TYPE vllm:prefix_cache_queries_total counter",
        f"vllm:prefix_cache_queries_total{label} {float(stats.prefix_tokens_queried)}",
        "# HELP vllm:prefix_cache_hits_total Prefix cache hits, in tokens.",
        "# TYPE vllm:prefix_cache_hits_total counter",
        f"vllm:prefix_cache_hits_total{label} {float(stats.prefix_tokens_hit)}",
    ]
    return ("\n".join(lines) + "\n").encode()
