"""Ollama's native API: /api/chat, /api/generate, /api/embed, /api/embeddings, /api/tags, /api/show,
/api/ps and /api/version. Requests are translated, and answered as those of /v1 are."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from airouter.api import ollama_models
from airouter.api.body import receive
from airouter.api.fast_path import FlowRoute, Handler
from airouter.api.inference import Inference
from airouter.api.middleware import EXCHANGE
from airouter.api.responses import Answer
from airouter.dialects.ollama import ENDPOINT_OF, OLLAMA, Form, Ollama
from airouter.dialects.openai_request import parse_json
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.runtime.process import Runtime

# Whose API this is: clients ask for it to know what they may use.
VERSION = "0.12.11"
_FIELD: Mapping[Form, str] = {
    "chat": "messages",
    "generate": "prompt",
    "raw": "prompt",
    "embed": "input",
    "embeddings": "prompt",
}
# As what bodies are read: Ollama looks at no Content-Type, and its examples for curl send none.
_ANY = ""
Environ = dict[str, Any]


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    api = _Api(runtime)

    def post(path: str, form: Form) -> FlowRoute:
        def handler(environ: Environ) -> Waiting[Answer]:
            return api.infer(environ, form)

        return FlowRoute(path, ("POST",), handler, OLLAMA, counts=True)

    def get(path: str, body: Callable[[], dict[str, Any]]) -> FlowRoute:
        return FlowRoute(path, ("GET",), _at_once(body), OLLAMA)

    return (
        post("/api/chat", "chat"),
        post("/api/generate", "generate"),
        post("/api/embed", "embed"),
        post("/api/embeddings", "embeddings"),
        FlowRoute("/api/show", ("POST",), api.show, OLLAMA),
        get("/api/tags", lambda: ollama_models.tags(runtime.state)),
        get("/api/ps", lambda: ollama_models.running(runtime.state)),
        get("/api/version", lambda: {"version": VERSION}),
    )


class _Api:
    """The endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inference = Inference(runtime)

    def infer(self, environ: Environ, form: Form) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        payload, adjusted = yield from self._inference.read(environ, ENDPOINT_OF[form], _ANY)
        if form == "generate" and (payload.get("raw") or payload.get("suffix")):
            form = "raw"
        thinks = payload.get("think") is not False
        dialect = Ollama(form, self._runtime.clock, exchange.started_at, thinks)
        state, named = self._runtime.state, payload.get("model")
        if isinstance(named, str):
            payload = {**payload, "model": ollama_models.resolved(named, state)}
        if payload.get(_FIELD[form]) in (None, "", []) and not payload.get("images"):
            model = named if isinstance(named, str) else state.settings.virtual_model
            ollama_models.check(payload.get("model"), state)
            exchange.record.wanted = False  # nothing was asked
            reason = "unload" if payload.get("keep_alive") in (0, "0", "0s") else "load"
            return _json(dialect.loaded(model, reason))
        return (
            yield from self._inference.answer(
                environ, ENDPOINT_OF[form], (payload, adjusted), dialect
            )
        )

    def show(self, environ: Environ) -> Waiting[Answer]:
        state = self._runtime.state
        limits = state.settings.server
        body = yield from receive(environ[EXCHANGE], environ, limits)
        payload = parse_json(body, _ANY, most_elements=limits.max_json_elements)
        name = payload.get("model") or payload.get("name")
        return _json(orjson.dumps(ollama_models.details(name, state)))


def _at_once(body: Callable[[], dict[str, Any]]) -> Handler:
    """A flow that waits for nothing."""

    def handler(_environ: Environ) -> Waiting[Answer]:
        yield from ()
        return _json(orjson.dumps(body()))

    return handler


def _json(body: bytes) -> Answer:
    return Answer(200, [("Content-Type", "application/json; charset=utf-8")], body)
