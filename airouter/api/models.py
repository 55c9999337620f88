"""GET /v1/models and /v1/models/{id}: the virtual model, the routes that can serve requests,
aliases, then the backends' own models. In Anthropic's form for its clients."""

from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, jsonify, request

from airouter.domain.errors import NotFound
from airouter.domain.labels import ROUTES
from airouter.runtime.process import Runtime
from airouter.runtime.state import State


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("models", __name__)

    @bp.get("/v1/models")
    def index() -> Response:
        found = listed(runtime.state)
        return jsonify(_page(found) if _anthropics() else {"object": "list", "data": found})

    @bp.get("/v1/models/<path:name>")
    def one(name: str) -> Response:
        for model in listed(runtime.state):
            if model["id"] in (name, unquote(name)):  # some clients encode the name twice
                return jsonify(_info(model) if _anthropics() else model)
        raise NotFound(
            f"The model {name[:80]!r} does not exist; GET /v1/models lists the available models.",
            param="model",
            code="model_not_found",
        )

    return bp


def _anthropics() -> bool:
    """Whether the client speaks Anthropic's API, which has the same path."""
    return "anthropic-version" in request.headers


def _page(models: list[dict[str, Any]]) -> dict[str, Any]:
    names = [model["id"] for model in models]
    ends = {"first_id": names[0], "last_id": names[-1]}
    return {"data": [_info(model) for model in models], "has_more": False, **ends}


def _info(model: dict[str, Any]) -> dict[str, Any]:
    """A model in Anthropic's form; when it was released is not known."""
    return {
        "type": "model",
        "id": model["id"],
        "display_name": model["id"],
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def listed(state: State) -> list[dict[str, Any]]:
    """The entries of the list."""
    settings = state.settings
    virtual = settings.virtual_model
    names = [(virtual, "ai-router")]
    names += [(f"{virtual}/{route}", "ai-router") for route in ROUTES if _can_answer(state, route)]
    names += [(alias, "ai-router") for alias in settings.aliases if settings.chain(alias)]
    seen = {name for name, _ in names}
    for backend in state.backends.values():
        if backend.model and backend.model not in seen and settings.usable(backend.name):
            seen.add(backend.model)
            names.append((backend.model, backend.name))
    return [
        {"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names
    ]


def _can_answer(state: State, route: str) -> bool:
    """Whether a request that forces this route would be served. META falls back to the primary's
    backends; the other routes need their own."""
    settings = state.settings
    if route == "enrich":
        search = state.backends.get(settings.enrichment.backend)
        if search is None or not search.provider.searches:
            return False
    return bool(settings.serving(route))
