"""Anthropic's Messages API: POST /v1/messages and /v1/messages/count_tokens. Requests are
translated, and answered as those of /v1/chat/completions."""

from fnmatch import fnmatchcase
from typing import Any

from airouter.api.count_tokens import counted, read_for_count
from airouter.api.fast_path import FlowRoute
from airouter.api.inference import Inference
from airouter.api.middleware import DIALECT, EXCHANGE
from airouter.api.responses import Answer
from airouter.dialects import messages_request
from airouter.dialects.messages import MESSAGES, Messages, request_id
from airouter.dialects.openai_request import parse_request
from airouter.domain.dialect import Original
from airouter.domain.errors import NoBackend, NotFound
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.planning import named_thinking
from airouter.runtime.process import Runtime

_OVERLOADED = 529  # for which clients wait longer than for a 503
_VERSION = "2023-06-01"
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
        original = Original(payload, _headers(environ), tuple(adjusted))
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
                environ, "chat", (payload, adjusted), dialect, original
            )
        except NoBackend as error:
            error.status = _OVERLOADED
            raise
        headers = [*answer.headers, ("request-id", request_id(known) or "")]
        return Answer(answer.status, headers, answer.body)

    def count_tokens(self, environ: Environ) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        state = self._runtime.state
        payload = yield from read_for_count(exchange, environ, state)
        named = payload.get("model")
        meant = named
        if isinstance(named, str) and named:
            meant = yield from self._meant(exchange, named)
        body = messages_request.chat({**payload, "model": meant}, [], counting=True)
        request = parse_request("chat", body)
        request.original = Original(payload, _headers(environ))
        return (yield from counted(exchange, state, request))

    def _meant(self, exchange: Exchange, model: str) -> Waiting[str]:
        """The name that the router knows for the client's: clients of this API ask for Anthropic's
        models, whatever serves them."""
        state = self._runtime.state
        settings, virtual = state.settings, state.settings.virtual_model
        named, _ = named_thinking(model, virtual)
        if named == virtual or model.startswith(f"{virtual}/") or model in settings.aliases:
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


def _headers(environ: Environ) -> dict[str, str]:
    """Those of the API, for a backend that speaks it."""
    version = environ.get("HTTP_ANTHROPIC_VERSION") or _VERSION
    beta = environ.get("HTTP_ANTHROPIC_BETA")
    return {"anthropic-version": version, **({"anthropic-beta": beta} if beta else {})}
