"""GET /v1/models and /v1/models/{id}: the virtual model, routes and tasks that can serve requests,
aliases, then the backends' own models with what is known of them. In Anthropic's form for its
clients."""

from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, jsonify, request

from airouter.domain.errors import NotFound
from airouter.domain.labels import ROUTES
from airouter.domain.tasks import TASKS
from airouter.runtime.process import Runtime
from airouter.runtime.state import State
from airouter.upstream.backend import Backend


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
    """The entries of the list. Nothing is asked for it: a backend's state is as of the requests and
    probes so far."""
    settings = state.settings
    virtual = settings.virtual_model
    entries = [_entry(virtual, "ai-router")]
    entries += [
        _entry(f"{virtual}/{route}", "ai-router") for route in ROUTES if _can_answer(state, route)
    ]
    for task in TASKS:
        if names := chosen_from(task, state):
            entries.append(_entry(f"{virtual}/{task}", "ai-router", backends=names))
    for alias in settings.aliases:
        if chain := settings.chain(alias):
            entries.append(_entry(alias, "ai-router", backends=chain))
    seen = {entry["id"] for entry in entries}
    for backend in state.backends.values():
        if backend.model and backend.model not in seen and settings.usable(backend.name):
            seen.add(backend.model)
            entries.append(_entry(backend.model, backend.name, **_known(backend)))
    return entries


def chosen_from(task: str, state: State) -> tuple[str, ...]:
    """The backends that the matrix chooses from for a task, in order."""
    rows = state.pipeline.planner.matrix.rows[task]
    return tuple(dict.fromkeys(name for row in rows for name in row.backends))


def _entry(name: str, owner: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, **more}


def _known(backend: Backend) -> dict[str, Any]:
    """What is known of a backend; `capabilities`: null if they are not configured."""
    capabilities = backend.settings.capabilities
    return {
        "capabilities": None if capabilities is None else list(capabilities),
        "context_window": backend.context_window,
        "state": _state(backend),
    }


def _state(backend: Backend) -> str:
    if backend.out:
        return "out"
    if backend.breaker.unreached_for is not None or backend.breaker.state in ("open", "cooling"):
        return "down"
    return "up" if backend.seen_up else "unknown"


def _can_answer(state: State, route: str) -> bool:
    """Whether a request that forces this route would be served. META falls back to the primary's
    backends; the other routes need their own."""
    settings = state.settings
    if route == "enrich":
        search = settings.members((settings.enrichment.backend,))
        if not search or not state.backends[search[0]].provider.searches:
            return False
    return bool(settings.serving(route))
