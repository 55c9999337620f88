"""Status endpoints: /, /health, /health/liveness, /health/readiness, /stats, /metrics."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from airouter import __version__
from airouter.api.admin import backend_status
from airouter.api.index_page import prefers_html, render
from airouter.domain.clock import ms
from airouter.runtime.process import Runtime
from airouter.runtime.state import State
from airouter.upstream.backend import Backend
from airouter.upstream.health import Health

ENDPOINTS = {
    "POST /v1/chat/completions": "chat completions; the router chooses the backend",
    "POST /v1/completions": "text completions by the primary",
    "POST /v1/embeddings": "embeddings, if a backend is configured for them",
    "POST /v1/messages": "Anthropic's Messages; the router chooses the backend",
    "POST /v1/messages/count_tokens": "the tokens of such a request",
    "POST /v1/rerank": "rank documents, by a backend that declares `endpoints: [rerank]`",
    "POST /v1/score": "score pairs of texts, by the same",
    "POST /v1/audio/transcriptions": "speech to text, by a backend that declares [audio]",
    "POST /v1/audio/translations": "speech to English text, by the same",
    "POST /v1/audio/speech": "text to speech, by the same",
    "POST /v1/images/generations": "make images, by a backend that declares [images]",
    "POST /v1/images/edits": "change images, by the same",
    "GET /v1/models": "list the available models",
    "GET /v1/models/{id}": "describe one model",
    "POST /api/chat": "Ollama's chat; the router chooses the backend",
    "POST /api/generate": "Ollama's completion of one prompt",
    "POST /api/embed": "Ollama's embeddings",
    "POST /api/embeddings": "Ollama's embedding of one text",
    "GET /api/tags": "list the available models, as Ollama does",
    "POST /api/show": "describe one model, as Ollama does",
    "GET /api/ps": "the models that can answer now, as Ollama lists loaded ones",
    "GET /api/version": "the version of Ollama whose API this is",
    "POST /api/route": "explain a routing decision without answering the request",
    "POST /map": "map a detector's output to the labels of one taxonomy",
    "POST /map/batch": "map 1 to 100 outputs",
    "GET /map/taxonomy": "the labels of the mapper",
    "GET /map/detectors": "the detectors that the mapper knows",
    "GET /map/openapi.json": "the mapper's OpenAPI document",
    "GET /map/docs": "the same as a page",
    "GET /health": "probe all backends now",
    "GET /health/liveness": "whether the process is alive",
    "GET /health/readiness": "whether the process accepts requests",
    "GET /dashboard": "a page for operators: decisions, backends, past requests, error budgets",
    "GET /stats": "statistics per route",
    "GET /metrics": "Prometheus metrics",
    "GET /metrics/summary": "service level objectives, error budgets and burn rates",
    "GET /metrics/alerts": "alerts on the objectives",
    "POST /admin/drain": "take this server out of rotation, or put it back",
    "POST /admin/reload": "reload the configuration file",
    "POST /admin/events": "announce a model swap, or take a backend out of service",
    "GET /admin/status": "circuit breakers, pauses, slots",
    "GET|POST /router/{path}": "the classifier's own API (allow-listed paths)",
    "GET|POST /primary/{path}": "the primary's own API (allow-listed paths)",
}


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("status", __name__)

    @bp.get("/")
    def index() -> Response:
        """A page for browsers, JSON for programs. Uses known state; sends nothing to backends."""
        if prefers_html(request):
            return render(runtime, request.host_url, ENDPOINTS)
        response = jsonify(
            {
                "name": "ai-router",
                "version": __version__,
                "model": runtime.state.settings.virtual_model,
                "endpoints": ENDPOINTS,
            }
        )
        response.vary.add("Accept")
        return response

    @bp.get("/health")
    def health() -> tuple[Response, int]:
        started = runtime.clock.monotonic()
        state = runtime.state
        results = state.health.check()
        status = overall(state, results)
        duration = runtime.clock.monotonic() - started
        runtime.log.info("Health check: status=%s duration_ms=%d", status, ms(duration))
        return jsonify(
            _health_body(state, status, results, duration)
        ), 503 if status == "unhealthy" else 200

    @bp.get("/health/liveness")
    def liveness() -> Response:
        return jsonify({"status": "alive"})

    @bp.get("/health/readiness")
    def readiness() -> tuple[Response, int]:
        """Ready if not draining and a backend of the default route is up, by the last known
        state."""
        state, started = runtime.state, runtime.clock.monotonic()
        if runtime.draining:
            return jsonify({"status": "draining"}), 503
        up = any(_last_known_up(state.backends[name]) for name in state.settings.serving("primary"))
        runtime.on_ready(runtime.clock.monotonic() - started)
        return jsonify({"status": "ready" if up else "no backend"}), 200 if up else 503

    @bp.get("/stats")
    def stats() -> Response:
        return jsonify(
            {
                "routes": runtime.stats.snapshot(),
                "backends": {name: backend_status(b) for name, b in runtime.state.backends.items()},
            }
        )

    @bp.get("/metrics")
    @bp.get("/metrics/")
    def metrics() -> Response:
        body, content_type = runtime.metrics.render(request.headers.get("Accept", ""))
        return Response(body, 200, content_type=content_type)

    return bp


def overall(state: State, results: dict[str, Health]) -> str:
    """unhealthy: no backend of the default route is up; degraded: any other backend is down."""
    primaries = state.settings.serving("primary")
    if not any(results[name].healthy for name in primaries if name in results):
        return "unhealthy"
    return "healthy" if all(result.healthy for result in results.values()) else "degraded"


def _health_body(
    state: State, status: str, results: dict[str, Health], duration: float
) -> dict[str, Any]:
    body: dict[str, Any] = {"status": status, "duration_ms": ms(duration)}
    for name in ("router", "primary", "xai"):
        found = [results[each] for each in state.settings.expanded((name,)) if each in results]
        if found:
            healthy = any(result.healthy for result in found)
            body[f"{name}_model"] = "healthy" if healthy else "unhealthy"
    body["backends"] = {
        name: {
            "healthy": result.healthy,
            "ms": round(result.ms, 1),
            "model": state.backends[name].model,
            "problem": result.problem,
        }
        for name, result in results.items()
    }
    return body


def _last_known_up(backend: Backend) -> bool:
    return (
        not backend.out and backend.breaker.state != "open" and backend.breaker.cause != "connect"
    )
