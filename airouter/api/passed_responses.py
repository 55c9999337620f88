"""POST /v1/responses for backends that speak the Responses API (`backends.<name>.responses: pass`):
they get the request as it is, with their own model's name."""

from collections.abc import Mapping
from typing import Any

from airouter.api.inference import Inference, name_conversation
from airouter.api.middleware import EXCHANGE
from airouter.api.passthrough import forward
from airouter.api.responses import Answer, answer_headers
from airouter.dialects import openai_responses_request
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.errors import BadRequest
from airouter.domain.types import Plan
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.runtime.state import State
from airouter.telemetry.record import RecordBuilder
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
    incoming = inference.parsed("chat", _readable(payload), [])
    name_conversation(environ, payload)
    decision, plan, received = yield from inference.explain(environ, incoming)
    if _first(state, plan).settings.responses != "pass":
        return None
    inference.begin(environ, exchange, "chat", incoming)
    decided = state.pipeline.settle(received, decision, plan)
    record, backend = exchange.record, _first(state, decided.plan)
    record.backend = backend.name
    body = _body(payload, incoming.thinking, record)
    lease = Lease(exchange, backend)
    lease.permit(last_resort=True)
    yield from lease.enter(decided.priority, state.settings.queue.wait)
    request = backend.provider.post(_PATH, {**body, "model": lease.model}, backend.headers)
    answer = yield from forward(exchange, lease, request)
    if answer.status < 400:
        state.pipeline.passed_on(decided, backend)
    return Answer(answer.status, [*answer.headers, *answer_headers(decided)], answer.body)


def _body(payload: dict[str, Any], level: str | None, record: RecordBuilder) -> dict[str, Any]:
    """The request, with how much to reason as the model's name says it.

    Args:
        record: receives what was changed.
    """
    if level is None:
        return payload
    given, effort = payload.get("reasoning"), "none" if level == "off" else level
    said = f"thinking={level} from the model name, sent as reasoning.effort={effort}"
    record.adjusted = (said,)
    return {
        **payload,
        "reasoning": {**(given if isinstance(given, dict) else {}), "effort": effort},
    }


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


def _first(state: State, plan: Plan) -> Backend:
    """The first of a plan that can answer, else the first."""
    backends = [state.backends[name] for name in plan.backends]
    return next((backend for backend in backends if backend.can_answer_now), backends[0])
