"""OpenAI's Responses API: POST /v1/responses and /v1/responses/input_tokens. Requests are
translated, and answered as those of /v1/chat/completions."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from airouter.api.count_tokens import counted, read_for_count
from airouter.api.fast_path import FlowRoute
from airouter.api.inference import Inference
from airouter.api.middleware import DIALECT, EXCHANGE
from airouter.api.passed_responses import passed
from airouter.api.responses import Answer
from airouter.api.stored_responses import continued, holder_of
from airouter.dialects import openai_responses_request
from airouter.dialects.openai_request import parse_request
from airouter.dialects.openai_responses import Responses, opening
from airouter.dialects.openai_responses_tools import Names
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.runtime.kept_responses import ResponseStore
from airouter.runtime.process import Runtime

Environ = dict[str, Any]


def routes(runtime: Runtime, store: ResponseStore) -> tuple[FlowRoute, ...]:
    api = _Api(runtime, store)
    return (
        FlowRoute("/v1/responses", ("POST",), api.create, counts=True),
        FlowRoute("/v1/responses/input_tokens", ("POST",), api.input_tokens),
    )


class _Api:
    """The endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime, store: ResponseStore) -> None:
        self._runtime = runtime
        self._store = store
        self._inference = Inference(runtime)

    def create(self, environ: Environ) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        payload, adjusted = yield from self._inference.read(environ, "chat")
        native = yield from passed(self._inference, self._runtime.state, environ, payload)
        if native is not None:
            return native
        payload = self._whole(environ, payload)
        settings = self._runtime.state.settings
        most = settings.responses.max_stored
        kept = bool(most) and payload.get("store") is not False
        known = exchange.record.id.replace("-", "")
        created = int(exchange.record.timestamp.timestamp())
        named = payload.get("model") or settings.virtual_model
        response = opening(known, created, payload, named, store=kept)
        done = None
        if kept:
            items = openai_responses_request.items_of(payload)
            done = partial(self._store.keep, holder_of(environ), items, most=most)
        dialect = environ[DIALECT] = Responses(known, response, Names(), adjusted, done)
        return (yield from self._inference.answer(environ, "chat", (payload, adjusted), dialect))

    def input_tokens(self, environ: Environ) -> Waiting[Answer]:
        exchange: Exchange = environ[EXCHANGE]
        state = self._runtime.state
        payload = self._whole(environ, (yield from read_for_count(exchange, environ, state)))
        body = openai_responses_request.chat(payload, Names(), [], counting=True)
        request = parse_request("chat", body)
        yield from self._inference.known(exchange, request.model)
        return (yield from counted(exchange, state, request, "response.input_tokens"))

    def _whole(self, environ: Mapping[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
        store = self._store if self._runtime.state.settings.responses.max_stored else None
        return continued(payload, store, holder_of(environ))
