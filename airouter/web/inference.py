"""POST /v1/chat/completions, /v1/completions, /v1/embeddings and /api/route."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from airouter.errors import BadRequest, NotFound
from airouter.exchange.exchange import Exchange
from airouter.execution.executor import Executor, find_backend
from airouter.execution.work import Wish
from airouter.request import ChatRequest, parse_json, parse_request
from airouter.routing.plan import forced_route
from airouter.runtime import Runtime, State
from airouter.types import ROUTES, Endpoint
from airouter.web.body import read_body
from airouter.web.edge import EXCHANGE
from airouter.web.respond import respond


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("inference", __name__)

    @bp.post("/v1/chat/completions")
    def chat() -> Response:
        state, exchange, incoming = _receive(runtime, "chat")
        return respond(exchange, state.executor.chat(exchange, incoming, _wish(runtime, incoming)))

    @bp.post("/v1/completions")
    def completions() -> Response:
        state, exchange, incoming = _receive(runtime, "completions")
        return respond(exchange, state.executor.plain(exchange, incoming, _wish(runtime, incoming)))

    @bp.post("/v1/embeddings")
    def embeddings() -> Response:
        state, exchange, incoming = _receive(runtime, "embeddings")
        name = state.settings.embeddings
        if name is None or name not in state.backends:
            raise NotFound(
                "No backend for embeddings is configured; name one as `embeddings:` in the router's configuration.",
                code="no_embeddings_backend",
            )
        return respond(exchange, state.executor.plain(exchange, incoming, Wish(backend=name, priority=_priority())))

    @bp.post("/api/route")
    def route() -> Response:
        """Explain a decision without running it; with `"execute": true` run it, by `route` if that is given."""
        payload = dict(_payload(runtime))
        forced, execute = payload.pop("route", "auto"), payload.pop("execute", False)
        if forced not in (*ROUTES, "auto"):
            raise BadRequest(f"'route' must be one of auto, {', '.join(ROUTES)}.", param="route", code="unknown_route")
        if execute not in (True, False):
            raise BadRequest("'execute' must be true or false.", param="execute", code="invalid_type")
        state, exchange = runtime.state, _exchange()
        incoming = parse_request("chat", payload)
        wish = _wish(runtime, incoming) if forced == "auto" else Wish(route=forced, priority=_priority())
        if execute:
            _begin(runtime, exchange, "chat", incoming)
            return respond(exchange, state.executor.chat(exchange, incoming, wish))
        return jsonify(_explanation(state.executor, exchange, incoming, wish))

    return bp


def _receive(runtime: Runtime, endpoint: Endpoint) -> tuple[State, Exchange, ChatRequest]:
    """Read and check the request; from its first byte on it is recorded, refused ones too."""
    exchange = _exchange()
    exchange.record.wanted = True
    exchange.record.endpoint = endpoint
    runtime.metrics.in_flight_inc()
    exchange.hold(runtime.metrics.in_flight_dec)
    incoming = parse_request(endpoint, _payload(runtime))
    _begin(runtime, exchange, endpoint, incoming)
    return runtime.state, exchange, incoming


def _begin(runtime: Runtime, exchange: Exchange, endpoint: Endpoint, incoming: ChatRequest) -> None:
    exchange.record.wanted = True
    exchange.record.endpoint = endpoint
    if incoming.stream:
        exchange.keep_alive(runtime.state.settings.timeouts.keepalive_after)
    timeout = request.environ.get("HTTP_X_ROUTER_TIMEOUT")
    if timeout:
        exchange.limit(_seconds(timeout))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise BadRequest("The header X-Router-Timeout must be a number of seconds, such as 30.", code="invalid_timeout")
    return seconds


def _payload(runtime: Runtime) -> dict[str, Any]:
    raw = read_body(request.environ, runtime.state.settings.server, runtime.clock)
    return parse_json(raw, request.environ.get("CONTENT_TYPE", ""))


def _exchange() -> Exchange:
    exchange: Exchange = request.environ[EXCHANGE]
    return exchange


def _wish(runtime: Runtime, incoming: ChatRequest) -> Wish:
    """What the model's name and the X-Router-* headers ask for."""
    virtual = runtime.state.settings.virtual_model
    route = forced_route(incoming.model, request.environ.get("HTTP_X_ROUTER_ROUTE"), virtual)
    priority = _priority()
    if route is not None or incoming.model in (None, virtual) or str(incoming.model).startswith(f"{virtual}/"):
        return Wish(route=route, priority=priority)
    return Wish(backend=_backend_of(runtime, str(incoming.model)), priority=priority)


def _backend_of(runtime: Runtime, model: str) -> str:
    """Who serves a model; in the first moment after the start, once the backends have been asked what they serve."""
    try:
        return find_backend(runtime.state.backends, model)
    except NotFound:
        probes = runtime.state.settings.probes
        if runtime.housekeeper.looked.is_set() or not probes.enabled:
            raise
        runtime.housekeeper.looked.wait(probes.timeout + 1)
        return find_backend(runtime.state.backends, model)


def _priority() -> str:
    """`X-Router-Priority: batch` waits behind everybody else.

    Raises:
        BadRequest: a priority that does not exist.
    """
    wanted = request.environ.get("HTTP_X_ROUTER_PRIORITY", "").strip().lower() or "interactive"
    if wanted not in ("interactive", "batch"):
        raise BadRequest("The header X-Router-Priority must be interactive or batch.", code="unknown_priority")
    return wanted


def _explanation(executor: Executor, exchange: Exchange, incoming: ChatRequest, wish: Wish) -> dict[str, Any]:
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
            {"tier": v.tier, "label": v.label, "p": v.p, "threshold": v.threshold, "ms": round(v.ms, 3), "reason": v.reason}
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
