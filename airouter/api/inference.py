"""POST /v1/chat/completions, /v1/completions, /v1/embeddings and /api/route."""

from collections.abc import Mapping
from typing import Any

import orjson

from airouter.api.body import receive
from airouter.api.fast_path import FlowRoute
from airouter.api.marked_tests import test_name
from airouter.api.middleware import EXCHANGE
from airouter.api.responses import Answer, respond
from airouter.api.session_names import session_name
from airouter.api.timeout_header import seconds_of
from airouter.dialects.openai import OPENAI
from airouter.dialects.openai_request import ChatRequest, parse_json, parse_request
from airouter.domain.dialect import ClientDialect, Original
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.labels import ROUTES
from airouter.domain.tasks import TASKS
from airouter.domain.types import Decision, Endpoint, Plan
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.planning import forced_route, named_thinking, stated_task
from airouter.proxy.pipeline import Pipeline, find_backend
from airouter.proxy.request_state import Flow, Received, RoutingOverrides
from airouter.proxy.sessions import name_of
from airouter.runtime.process import Runtime

_PROBE_LOOK = 0.02  # seconds between looks at whether the first probe has ended
Environ = Mapping[str, Any]
Read = tuple[dict[str, Any], list[str]]  # the body, and what was adjusted to read it


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    inference = Inference(runtime)
    return (
        FlowRoute("/v1/chat/completions", ("POST",), inference.chat, counts=True),
        FlowRoute("/v1/completions", ("POST",), inference.completions, counts=True),
        FlowRoute("/v1/embeddings", ("POST",), inference.embeddings, counts=True),
        FlowRoute("/api/route", ("POST",), inference.route),
    )


class Inference:
    """The endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def chat(self, environ: Environ, dialect: ClientDialect = OPENAI) -> Waiting[Answer]:
        """A chat completion, in any dialect."""
        read = yield from self.read(environ, "chat")
        return (yield from self.answer(environ, "chat", read, dialect))

    def completions(self, environ: Environ) -> Waiting[Answer]:
        read = yield from self.read(environ, "completions")
        return (yield from self.answer(environ, "completions", read))

    def embeddings(self, environ: Environ) -> Waiting[Answer]:
        read = yield from self.read(environ, "embeddings")
        return (yield from self.answer(environ, "embeddings", read))

    def read(
        self, environ: Environ, endpoint: Endpoint, content_type: str | None = None
    ) -> Waiting[Read]:
        """Read the request; invalid ones are recorded, too.

        Args:
            content_type: as which to read it; None: as what it says it is.
        """
        exchange: Exchange = environ[EXCHANGE]
        exchange.record.wanted = True
        exchange.record.endpoint = endpoint
        metrics = self._runtime.metrics
        metrics.in_flight_inc()
        exchange.hold(metrics.in_flight_dec)
        adjusted: list[str] = []
        payload = yield from self._payload(environ, adjusted, content_type)
        return payload, adjusted

    def answer(
        self,
        environ: Environ,
        endpoint: Endpoint,
        read: Read,
        dialect: ClientDialect = OPENAI,
        original: Original | None = None,
    ) -> Waiting[Answer]:
        """Answer a request that has been read, in any dialect.

        Args:
            original: the request for backends that speak the dialect themselves.
        """
        exchange: Exchange = environ[EXCHANGE]
        payload, adjusted = read
        incoming = self.parsed(endpoint, dialect.parse(payload), adjusted)
        incoming.original = original
        name_conversation(environ, payload)
        self.begin(environ, exchange, endpoint, incoming)
        pipeline = self._runtime.current.state.pipeline

        def flow() -> Flow:
            if endpoint == "embeddings":
                name = yield from self._embedder(pipeline, exchange, incoming.model)
                task = self._task(environ, incoming)
                overrides = RoutingOverrides(backend=name, task=task, priority=_priority(environ))
            else:
                overrides = yield from self._overrides(environ, exchange, incoming)
            run = pipeline.chat if endpoint == "chat" else pipeline.plain
            yield from run(exchange, incoming, overrides)

        return (yield from respond(exchange, flow(), dialect))

    def route(self, environ: Environ) -> Waiting[Answer]:
        """Explain the routing decision without answering the request; `"execute": true` answers
        it, and `route` forces a route."""
        adjusted: list[str] = []
        payload = dict((yield from self._payload(environ, adjusted)))
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
        pipeline, exchange = self._runtime.current.state.pipeline, environ[EXCHANGE]
        incoming = self.parsed("chat", payload, adjusted)
        name_conversation(environ, payload)

        def overridden() -> Waiting[RoutingOverrides]:
            if forced == "auto":
                return (yield from self._overrides(environ, exchange, incoming))
            task = self._task(environ, incoming)
            return RoutingOverrides(route=forced, task=task, priority=_priority(environ))

        def answer() -> Flow:
            overrides = yield from overridden()
            yield from pipeline.chat(exchange, incoming, overrides)

        if execute:
            self.begin(environ, exchange, "chat", incoming)
            return (yield from respond(exchange, answer()))
        overrides = yield from overridden()
        explained = yield from pipeline.explain(exchange, incoming, overrides)
        body = orjson.dumps(_explanation(*explained), option=orjson.OPT_APPEND_NEWLINE)
        return Answer(200, [("Content-Type", "application/json")], body)

    def parsed(
        self, endpoint: Endpoint, payload: dict[str, Any], adjusted: list[str]
    ) -> ChatRequest:
        """The request, with how much to reason apart from the model's name."""
        incoming, state = parse_request(endpoint, payload, adjusted), self._runtime.current.state
        model, thinking = named_thinking(incoming.model, state.settings.virtual_model)
        if thinking and not any(b.model == incoming.model for b in state.backends.values()):
            incoming.model, incoming.thinking = model, thinking
        return incoming

    def explain(
        self, environ: Environ, incoming: ChatRequest
    ) -> Waiting[tuple[Decision, Plan, Received]]:
        """Decide where a request goes, and do nothing."""
        exchange, pipeline = environ[EXCHANGE], self._runtime.current.state.pipeline
        overrides = yield from self._overrides(environ, exchange, incoming)
        return (yield from pipeline.explain(exchange, incoming, overrides))

    def begin(
        self, environ: Environ, exchange: Exchange, endpoint: Endpoint, incoming: ChatRequest
    ) -> None:
        """Record what is asked for, and keep to the limits that the client sets."""
        record, state = exchange.record, self._runtime.current.state
        record.wanted, record.endpoint = True, endpoint
        record.requested_model = self._configured(incoming.model)
        record.max_tokens, record.inputs = incoming.max_tokens, incoming.inputs
        record.test = test_name(environ, state.access)
        if incoming.stream:
            exchange.keep_alive(state.settings.timeouts.keepalive_after)
        timeout = environ.get("HTTP_X_ROUTER_TIMEOUT")
        if timeout:
            exchange.limit(seconds_of(timeout))

    def _configured(self, model: str | None) -> str:
        """The requested model if the configuration knows it: a metric's label is no client's to
        invent."""
        if model is None:
            return "none"
        state = self._runtime.current.state
        virtual, _, route = model.partition("/")
        known = not route or route.lower() in (*ROUTES, *TASKS)
        if virtual == state.settings.virtual_model and known:
            return f"{virtual}/{route.lower()}" if route else virtual
        if model in state.settings.aliases:
            return model
        return model if any(b.model == model for b in state.backends.values()) else "other"

    def _payload(
        self, environ: Environ, adjusted: list[str], content_type: str | None = None
    ) -> Waiting[dict[str, Any]]:
        server = self._runtime.current.state.settings.server
        raw = yield from receive(environ[EXCHANGE], environ, server)
        if content_type is None:
            content_type = environ.get("CONTENT_TYPE", "")
        return parse_json(raw, content_type, adjusted, most_elements=server.max_json_elements)

    def _overrides(
        self, environ: Environ, exchange: Exchange, incoming: ChatRequest
    ) -> Waiting[RoutingOverrides]:
        """Routing overrides from the model name and the X-Router-* headers."""
        virtual = self._runtime.current.state.settings.virtual_model
        route = forced_route(incoming.model, environ.get("HTTP_X_ROUTER_ROUTE"), virtual)
        task, priority = self._task(environ, incoming), _priority(environ)
        if route is not None or incoming.model is None or _is_virtual(incoming.model, virtual):
            return RoutingOverrides(route=route, task=task, priority=priority)
        if incoming.model in self._runtime.current.state.settings.aliases:
            return RoutingOverrides(alias=incoming.model, task=task, priority=priority)
        backend = yield from self.backend_of(exchange, incoming.model)
        return RoutingOverrides(backend=backend, task=task, priority=priority)

    def _task(self, environ: Environ, incoming: ChatRequest) -> str | None:
        virtual = self._runtime.current.state.settings.virtual_model
        return stated_task(incoming.model, environ.get("HTTP_X_ROUTER_TASK"), virtual)

    def _embedder(self, pipeline: Pipeline, exchange: Exchange, model: str | None) -> Waiting[str]:
        """The backend for embeddings: the one that serves the requested model, or the configured
        one. There is no fallback to another model, because embeddings of different models are not
        comparable."""
        settings = pipeline.settings
        if model is not None and not _is_virtual(model, settings.virtual_model):
            return (yield from self.backend_of(exchange, model, settings.embedder))
        name = settings.embedder
        if name is None or not settings.usable(name):
            raise NotFound(
                "No embeddings backend is configured; set `embeddings` in the router's "
                "configuration to the name of a backend.",
                code="no_embeddings_backend",
            )
        return name

    def known(self, exchange: Exchange, model: str | None) -> Waiting[None]:
        """Raises:
        NotFound: no backend or alias has this name, and it is not the virtual model's.
        """
        settings = self._runtime.current.state.settings
        name, _ = named_thinking(model, settings.virtual_model)
        if not (
            name is None or _is_virtual(name, settings.virtual_model) or model in settings.aliases
        ):
            yield from self.backend_of(exchange, name)

    def backend_of(
        self, exchange: Exchange, model: str, preferred: str | None = None
    ) -> Waiting[str]:
        """The backend that serves a model. Right after start, waits for the first probe of the
        backends, which discovers their models.

        Args:
            preferred: the backend to use if several serve the model.
        """
        runtime, probed = self._runtime, self._runtime.housekeeper.looked
        probes = runtime.current.state.settings.probes
        until = runtime.clock.monotonic() + probes.timeout + 1
        while True:
            awaited = probes.enabled and not probed.is_set()
            try:
                found = find_backend(runtime.current.state.backends, model)
                break
            except NotFound:
                if not awaited or runtime.clock.monotonic() >= until:
                    raise
            yield from exchange.sleep(_PROBE_LOOK)
        state = runtime.current.state
        others = state.settings.members((preferred,)) if preferred is not None else ()
        serves = any(state.backends[name].model == model for name in others)
        return preferred if preferred is not None and serves else found


def name_conversation(environ: Environ, payload: dict[str, Any]) -> None:
    """Record what the client calls the conversation, if it does."""
    record = environ[EXCHANGE].record
    name = session_name(environ, payload)
    record.conversation = None if name is None else name_of(record.key_id, name)


def _is_virtual(model: str, virtual: str) -> bool:
    return model == virtual or model.startswith(f"{virtual}/")


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


def _session(received: Received) -> dict[str, Any]:
    """What the conversation means for the decision. `route`, `backend`, `label`: of the turn
    before; null where it is not known. `price_s`: of the move that was weighed."""
    turn, known = received.turn, received.turn.standing
    return {
        "id": received.exchange.record.conversation,
        "policy": turn.policy,
        "route": known.route if known else None,
        "backend": known.backend if known else None,
        "label": known.label if known else None,
        "escalated": known.escalated if known else False,
        "price_s": None if turn.price is None else round(turn.price, 3),
    }


def _explanation(decision: Decision, plan: Plan, received: Received) -> dict[str, Any]:
    features, demand = received.features, received.demand
    return {
        "route": plan.route,
        "label": decision.label,
        "tier": decision.tier,
        "p": decision.p,
        "threshold": decision.threshold,
        "decision_ms": round(decision.ms, 3),
        "backends": list(plan.backends),
        "enrich": plan.enrich,
        "task": demand.task,
        "task_source": demand.source,
        "needs": sorted(demand.needs),
        "tokens": demand.tokens.value,
        "tokens_counted": demand.tokens.counted is not None,
        "row": plan.row,
        "session": _session(received),
        "reasons": [*filter(None, [demand.note]), *plan.reasons],
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
