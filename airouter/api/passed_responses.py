"""POST /v1/responses for backends that speak the Responses API (`backends.<name>.responses: pass`):
they get the request as it is, with their own model's name."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airouter.api.inference import Inference
from airouter.api.middleware import EXCHANGE
from airouter.api.passthrough import forward
from airouter.api.responses import Answer, answer_headers
from airouter.dialects import openai_responses_request
from airouter.dialects.openai_request import parse_request
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.errors import BadRequest
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.proxy.request_state import Decided, Received
from airouter.runtime.state import State
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease

_PATH = "/v1/responses"


def passed(
    inference: Inference, state: State, environ: dict[str, Any], payload: dict[str, Any]
) -> Waiting[Answer | None]:
    """The answer of the backend that is first in the plan; None if it gets translations."""
    if all(backend.settings.responses != "pass" for backend in state.backends.values()):
        return None
    exchange: Exchange = environ[EXCHANGE]
    incoming = parse_request("chat", _readable(payload))
    decision, plan, received = yield from inference.explain(environ, incoming)
    backend = _first([state.backends[name] for name in plan.backends])
    if backend.settings.responses != "pass":
        return None
    known = {field.name: getattr(received, field.name) for field in fields(Received)}
    decided = Decided(**known, decision=decision, plan=plan)
    record = exchange.record
    inference.begin(environ, exchange, "chat", incoming)
    record.asked("chat", incoming.stream, received.features, incoming.messages)
    record.task = received.demand.task
    record.decided(decision)
    record.planned(plan)
    record.backend = backend.name
    lease = Lease(exchange, backend)
    lease.permit(last_resort=True)
    yield from lease.enter(decided.priority, state.settings.queue.wait)
    body = {**payload, "model": lease.model}
    request = backend.provider.post(_PATH, body, backend.headers)
    answer = yield from forward(exchange, lease, request)
    return Answer(answer.status, [*answer.headers, *answer_headers(decided)], answer.body)


def _readable(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The request as a chat completion, to decide by. What only the backend can read, such as an
    item that it keeps, leaves nothing to decide by but the model's name."""
    try:
        return openai_responses_request.chat(dict(payload), Names(), [])
    except BadRequest:
        return {
            "model": payload.get("model"),
            "stream": payload.get("stream") is True,
            "messages": [{"role": "user", "content": ""}],
        }


def _first(backends: list[Backend]) -> Backend:
    """The first that can answer, else the first."""
    return next((backend for backend in backends if backend.can_answer_now), backends[0])
