"""POST /v1/chat/completions, /v1/completions, /v1/embeddings and /api/route."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from airouter.api.body import read_body
from airouter.api.middleware import EXCHANGE
from airouter.api.responses import Answer, respond
from airouter.dialects.openai_request import ChatRequest, parse_json, parse_request
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.labels import ROUTES
from airouter.domain.types import Endpoint
from airouter.flow.exchange import Exchange
from airouter.planning import forced_route
from airouter.proxy.pipeline import Executor, find_backend
from airouter.proxy.request_state import Wish
from airouter.runtime.state import Runtime, State

Environ = Mapping[str, Any]


def blueprint(runtime: Runtime) -> Blueprint:
    bp, inference = Blueprint("inference", __name__), Inference(runtime)
    bp.add_url_rule(
        "/v1/chat/completions",
        "chat",
        lambda: inference.chat(request.environ).response(),
        methods=["POST"],
    )
    bp.add_url_rule(
        "/v1/completions",
        "completions",
        lambda: inference.completions(request.environ).response(),
        methods=["POST"],
    )
    bp.add_url_rule(
        "/v1/embeddings",
        "embeddings",
        lambda: inference.embeddings(request.environ).response(),
        methods=["POST"],
    )
    bp.add_url_rule(
        "/api/route", "route", lambda: inference.route(request.environ), methods=["POST"]
    )
    return bp


class Inference:
    """The endpoints as functions of the WSGI environment, so that `Express` can bypass Flask."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def chat(self, environ: Environ) -> Answer:
        state, exchange, incoming = self._receive(environ, "chat")
        return respond(
            exchange, state.executor.chat(exchange, incoming, self._wish(environ, incoming))
        )

    def completions(self, environ: Environ) -> Answer:
        state, exchange, incoming = self._receive(environ, "completions")
        return respond(
            exchange, state.executor.plain(exchange, incoming, self._wish(environ, incoming))
        )

    def embeddings(self, environ: Environ) -> Answer:
        state, exchange, incoming = self._receive(environ, "embeddings")
        name = self._embedder(state, incoming.model)
        return respond(
            exchange,
            state.executor.plain(
                exchange, incoming, Wish(backend=name, priority=_priority(environ))
            ),
        )

    def route(self, environ: Environ) -> Response:
        """Explain the routing decision without answering the request; `"execute": true` answers
        it, and `route` forces a route."""
        adjusted: list[str] = []
        payload = dict(self._payload(environ, adjusted))
        forced, execute = payload.pop("route", "auto"), payload.pop("execute", False)
        if forced not in (*ROUTES, "auto"):
            raise BadRequest(
                f"'route' must be one of auto, {', '.join(ROUTES)}.",
                param="route",
                code="unknown_route",
            )
        if execute not in (True, False):
            raise BadRequest(
                "'execute' must be true or false.", param="execute", code="invalid_type"
            )
        state, exchange = self._runtime.state, environ[EXCHANGE]
        incoming = parse_request("chat", payload, adjusted)
        wish = (
            self._wish(environ, incoming)
            if forced == "auto"
            else Wish(route=forced, priority=_priority(environ))
        )
        if execute:
            self._begin(environ, exchange, "chat", incoming)
            return respond(exchange, state.executor.chat(exchange, incoming, wish)).response()
        return jsonify(_explanation(state.executor, exchange, incoming, wish))

    def _receive(self, environ: Environ, endpoint: Endpoint) -> tuple[State, Exchange, ChatRequest]:
        """Read and validate the request. Invalid requests are recorded, too."""
        exchange: Exchange = environ[EXCHANGE]
        exchange.record.wanted = True
        exchange.record.endpoint = endpoint
        metrics = self._runtime.metrics
        metrics.in_flight_inc()
        exchange.hold(metrics.in_flight_dec)
        adjusted: list[str] = []
        incoming = parse_request(endpoint, self._payload(environ, adjusted), adjusted)
        self._begin(environ, exchange, endpoint, incoming)
        return self._runtime.state, exchange, incoming

    def _begin(
        self, environ: Environ, exchange: Exchange, endpoint: Endpoint, incoming: ChatRequest
    ) -> None:
        exchange.record.wanted = True
        exchange.record.endpoint = endpoint
        if incoming.stream:
            exchange.keep_alive(self._runtime.state.settings.timeouts.keepalive_after)
        timeout = environ.get("HTTP_X_ROUTER_TIMEOUT")
        if timeout:
            exchange.limit(_seconds(timeout))

    def _payload(self, environ: Environ, adjusted: list[str]) -> dict[str, Any]:
        server = self._runtime.state.settings.server
        raw = read_body(environ, server, self._runtime.clock)
        content_type = environ.get("CONTENT_TYPE", "")
        return parse_json(raw, content_type, adjusted, most_elements=server.max_json_elements)

    def _wish(self, environ: Environ, incoming: ChatRequest) -> Wish:
        """Routing overrides from the model name and the X-Router-* headers."""
        virtual = self._runtime.state.settings.virtual_model
        route = forced_route(incoming.model, environ.get("HTTP_X_ROUTER_ROUTE"), virtual)
        priority = _priority(environ)
        if route is not None or incoming.model is None or _is_virtual(incoming.model, virtual):
            return Wish(route=route, priority=priority)
        return Wish(backend=self._backend_of(incoming.model), priority=priority)

    def _embedder(self, state: State, model: str | None) -> str:
        """The backend for embeddings: the one that serves the requested model, or the configured
        one. There is no fallback to another model, because embeddings of different models are not
        comparable."""
        if model is not None and not _is_virtual(model, state.settings.virtual_model):
            return self._backend_of(model, state.settings.embeddings)
        name = state.settings.embeddings
        if name is None or name not in state.backends:
            raise NotFound(
                "No embeddings backend is configured; set `embeddings` in the router's "
                "configuration to the name of a backend.",
                code="no_embeddings_backend",
            )
        return name

    def _backend_of(self, model: str, preferred: str | None = None) -> str:
        """The backend that serves a model. Right after start, waits for the first probe of the
        backends, which discovers their models.

        Args:
            preferred: the backend to use if several serve the model.
        """
        runtime = self._runtime
        try:
            found = find_backend(runtime.state.backends, model)
        except NotFound:
            probes = runtime.state.settings.probes
            if runtime.housekeeper.looked.is_set() or not probes.enabled:
                raise
            runtime.housekeeper.looked.wait(probes.timeout + 1)
            found = find_backend(runtime.state.backends, model)
        other = runtime.state.backends.get(preferred or "")
        return other.name if other is not None and other.model == model else found


def _is_virtual(model: str, virtual: str) -> bool:
    return model == virtual or model.startswith(f"{virtual}/")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise BadRequest(
            "X-Router-Timeout must be a number of seconds, such as 30.",
            code="invalid_timeout",
        )
    return seconds


def _priority(environ: Environ) -> str:
    """The queue priority; `batch` requests are served after all others.

    Raises:
        BadRequest: unknown priority.
    """
    wanted = environ.get("HTTP_X_ROUTER_PRIORITY", "").strip().lower() or "interactive"
    if wanted not in ("interactive", "batch"):
        raise BadRequest(
            "X-Router-Priority must be 'interactive' or 'batch'.", code="unknown_priority"
        )
    return wanted


def _explanation(
    executor: Executor, exchange: Exchange, incoming: ChatRequest, wish: Wish
) -> dict[str, Any]:
    flow = executor.explain(exchange, incoming, wish)
    while True:
        try:
            next(flow)
        except StopIteration as end:
            decision, plan, features = end.value
            break
    return {
        "route": plan.route,
        "label": decision.label,
        "tier": decision.tier,
        "p": decision.p,
        "threshold": decision.threshold,
        "decision_ms": round(decision.ms, 3),
        "backends": list(plan.backends),
        "enrich": plan.enrich,
        "reasons": list(plan.reasons),
        "verdicts": [
            {
                "tier": v.tier,
                "label": v.label,
                "p": v.p,
                "threshold": v.threshold,
                "ms": round(v.ms, 3),
                "reason": v.reason,
            }
            for v in decision.verdicts
        ],
        "features": {
            "messages": features.n_messages,
            "total_chars": features.total_chars,
            "ask_chars": len(features.ask),
            "has_tools": features.has_tools,
            "has_images": features.has_images,
            "task": features.task,
        },
    }
