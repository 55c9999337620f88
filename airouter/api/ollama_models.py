"""Ollama's view of the models: names with a tag, details as far as they are known."""

import hashlib
from typing import Any

from airouter.api.models import chosen_from, listed
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.labels import ROUTES
from airouter.domain.tasks import TASKS
from airouter.planning import named_thinking
from airouter.runtime.state import State
from airouter.upstream.backend import Backend

_TAG = ":latest"  # of a name without one
_LONG_AGO = "1970-01-01T00:00:00Z"  # when they were modified is not known
_NEVER = "9999-12-31T23:59:59Z"
_ARCHITECTURE = "ai-router"  # a model's own is not known
_DETAILS = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}


def resolved(model: str, state: State) -> str:
    """The name that the router knows for a name in Ollama's form: `ai-router:latest` is
    `ai-router`."""
    if not model.endswith(_TAG) or any(model == entry["id"] for entry in listed(state)):
        return model
    return model.removesuffix(_TAG)


def _without_level(model: str, state: State) -> str:
    """`ai-router` for `ai-router:low`."""
    return named_thinking(model, state.settings.virtual_model)[0] or model


def check(model: str | None, state: State) -> None:
    """Raises:
    NotFound: there is no such model.
    """
    names = {entry["id"] for entry in listed(state)}
    if model is not None and not names & {model, _without_level(model, state)}:
        raise NotFound(
            f"The model {model[:80]!r} is not found; GET /api/tags lists the available models.",
            param="model",
            code="model_not_found",
        )


def tags(state: State) -> dict[str, Any]:
    """The answer to `GET /api/tags`."""
    entries = [_entry(model["id"]) for model in listed(state)]
    return {"models": [entry | {"modified_at": _LONG_AGO} for entry in entries]}


def running(state: State) -> dict[str, Any]:
    """The answer to `GET /api/ps`: models that can be asked now."""
    found = []
    for model in listed(state):
        backends = _behind(model["id"], state)
        if any(backend.can_answer_now for backend in backends):
            window = {"context_length": _window(backends)} if _window(backends) else {}
            found.append(_entry(model["id"]) | {"expires_at": _NEVER, "size_vram": 0} | window)
    return {"models": found}


def details(name: Any, state: State) -> dict[str, Any]:
    """The answer to `POST /api/show`.

    Raises:
        BadRequest: no name is given.
        NotFound: there is no such model.
    """
    if not isinstance(name, str) or not name:
        raise BadRequest("'model' must be a name.", param="model", code="invalid_type")
    model = resolved(name, state)
    check(model, state)
    backends = _behind(_without_level(model, state), state)
    info: dict[str, Any] = {"general.architecture": _ARCHITECTURE, "general.basename": model}
    if window := _window(backends):
        info[f"{_ARCHITECTURE}.context_length"] = window
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _DETAILS,
        "model_info": info,
        "capabilities": _capabilities(backends, state),
        "modified_at": _LONG_AGO,
    }


def _entry(model: str) -> dict[str, Any]:
    name = model if ":" in model.rpartition("/")[2] else f"{model}{_TAG}"
    digest = hashlib.sha256(name.encode()).hexdigest()  # clients expect one
    return {"name": name, "model": name, "size": 0, "digest": digest, "details": _DETAILS}


def _behind(model: str, state: State) -> list[Backend]:
    """The backends that may answer for a model."""
    settings = state.settings
    virtual, _, route = model.partition("/")
    if model in settings.aliases:
        return [state.backends[name] for name in settings.chain(model)]
    if virtual == settings.virtual_model and route in TASKS:
        return [state.backends[name] for name in chosen_from(route, state)]
    if virtual == settings.virtual_model:
        routes = [route] if route else list(ROUTES)
        names = dict.fromkeys(name for one in routes for name in settings.serving(one))
        return [state.backends[name] for name in names]
    return [backend for backend in state.backends.values() if backend.model == model]


def _window(backends: list[Backend]) -> int | None:
    """The largest context window: a request that is too long for one backend goes to another."""
    known = [b.context_window for b in backends if b.context_window is not None]
    return max(known, default=None)


def _capabilities(backends: list[Backend], state: State) -> list[str]:
    settings = state.settings
    answering = {name for route in ROUTES for name in settings.serving(route)}
    embeds = {*settings.members((settings.embedder or "",))} - answering
    if all(backend.name in embeds for backend in backends):
        return ["embedding"]
    found = ["completion", "tools"]
    return [*found, "vision"] if any(_sees(b) for b in backends) else found


def _sees(backend: Backend) -> bool:
    return bool(backend.settings.vision or "vision" in (backend.settings.capabilities or ()))
