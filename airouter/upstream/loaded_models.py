"""Reads from servers that load models on demand whether theirs is loaded: Ollama's /api/ps and
llama-swap's /running."""

from collections.abc import Mapping
from typing import Any

import orjson

from airouter.dialects import wire_json
from airouter.domain.clock import Clock
from airouter.upstream.backend import Backend
from airouter.upstream.read_all import read_all

_PATHS = {"ollama": "/api/ps", "openai": "/running"}


def read_loaded(
    backends: Mapping[str, Backend], clock: Clock, limit: float
) -> dict[str, bool | None]:
    """Whether each backend's model is loaded; None where it does not say.

    Only replicas are asked: the answer decides between them.

    Args:
        limit: seconds for all of them.
    """
    asked = {name: b for name, b in backends.items() if b.states_loaded}
    bodies = read_all(asked, lambda b: _PATHS[b.settings.kind], clock, limit)
    found: dict[str, bool | None] = dict.fromkeys(backends)
    for name, body in bodies.items():
        names = loaded_names(body or b"")
        backend = asked[name]
        if names is None:  # another kind of server: not asked again until it restarts
            backend.states_loaded = backend.settings.kind == "ollama"
        else:
            model = backend.model or ""
            found[name] = model in names or f"{model}:latest" in names
    return found


def loaded_names(body: bytes) -> set[str] | None:
    """The models that either answer names as ready; None when it is neither."""
    try:
        payload: Any = wire_json.strict(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(payload, dict):
        return None
    entries = payload.get("models", payload.get("running"))
    if not isinstance(entries, list):
        return None
    ready = (
        entry
        for entry in entries
        if isinstance(entry, dict) and entry.get("state", "ready") == "ready"
    )
    return {str(entry.get(key)) for entry in ready for key in ("name", "model") if entry.get(key)}
