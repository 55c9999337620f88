"""Anthropic's Messages API: POST /v1/messages and /v1/messages/count_tokens. Requests are
translated, and answered as those of /v1/chat/completions."""

from fnmatch import fnmatchcase
from typing import Any

import orjson

from airouter.api.body import receive
from airouter.api.count_tokens import count
from airouter.api.fast_path import FlowRoute
from airouter.api.inference import Inference
from airouter.api.middleware import DIALECT, EXCHANGE
from airouter.api.responses import Answer
from airouter.dialects import messages_request
from airouter.dialects.messages import MESSAGES, Messages, request_id
from airouter.dialects.openai_request import parse_json, parse_request
from airouter.domain.errors import NoBackend, NotFound
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.planning import forced_route
from airouter.runtime.process import Runtime
from airouter.runtime.state import State

_OVERLOADED = 529  # for which clients wait longer than for a 503
Environ = dict[str, Any]


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    api = _Api(runtime)
    return (
        FlowRoute("/v1/messages", ("POST",), api.create, MESSAGES, counts=True),
        FlowRoute("/v1/messages/count_tokens", ("POST",), api.count_tokens, MESSAGES),
    )


class _Api:
    """The endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inference = Inference(runtime)

    def create(self, environ: Environ) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        known = exchange.record.id.replace("-", "")
        environ[DIALECT] = Messages(known)
        payload, adjusted = yield from self._inference.read(environ, "chat")
        named = payload.get("model")
        if isinstance(named, str) and named:
            meant = yield from self._meant(exchange, named)
            if meant != named:
                adjusted.append(f"model={named[:80]} read as {meant}")
            payload = {**payload, "model": meant}
        if environ.get("HTTP_ANTHROPIC_BETA"):
            adjusted.append("anthropic-beta left out")
        dialect = environ[DIALECT] = Messages(
            known,
            named if isinstance(named, str) else "",
            messages_request.thinks(payload),
            messages_request.stop_sequences(payload),
            adjusted,
        )
        try:
            answer = yield from self._inference.answer(
                environ, "chat", (payload, adjusted), dialect
            )
        except NoBackend as error:
            error.status = _OVERLOADED
            raise
        headers = [*answer.headers, ("request-id", request_id(known) or "")]
        return Answer(answer.status, headers, answer.body)

    def count_tokens(self, environ: Environ) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        state = self._runtime.state
        limits = state.settings.server
        raw = yield from receive(exchange, environ, limits)
        content_type = environ.get("CONTENT_TYPE", "")
        payload = parse_json(raw, content_type, most_elements=limits.max_json_elements)
        named = payload.get("model")
        meant = named
        if isinstance(named, str) and named:
            meant = yield from self._meant(exchange, named)
        body = messages_request.chat({**payload, "model": meant}, [], counting=True)
        request = parse_request("chat", body)
        names = _answering(state, request.model)
        backends = [state.backends[name] for name in names if state.backends[name].can_answer_now]
        tokens, how = yield from count(exchange, request, backends[0] if backends else None)
        headers = [("Content-Type", "application/json"), ("X-Router-Note", how)]
        return Answer(200, headers, orjson.dumps({"input_tokens": tokens}))

    def _meant(self, exchange: Exchange, model: str) -> Waiting[str]:
        """The name that the router knows for the client's: clients of this API ask for Anthropic's
        models, whatever serves them."""
        state = self._runtime.state
        settings, virtual = state.settings, state.settings.virtual_model
        if model == virtual or model.startswith(f"{virtual}/") or model in settings.aliases:
            return model
        if any(backend.model == model for backend in state.backends.values()):
            return model
        for pattern, route in settings.model_aliases.items():
            if fnmatchcase(model, pattern):
                return virtual if route == "auto" else f"{virtual}/{route}"
        try:
            yield from self._inference.backend_of(exchange, model)  # may not be known yet
        except NotFound:
            return virtual
        return model


def _answering(state: State, model: str | None) -> tuple[str, ...]:
    """The backends that may answer for a model; for the virtual one, the primary's: the request is
    not decided.

    Raises:
        BadRequest: the route does not exist.
    """
    settings = state.settings
    if model in settings.aliases:
        return settings.chain(model)
    own = tuple(name for name, b in state.backends.items() if model and b.model == model)
    route = forced_route(model, None, settings.virtual_model)
    return own or settings.serving(route or "primary")
