"""POST /v1/systemone and /v1/decisions: the router answers as a decision model, from its own
cascade. Nothing is generated: a question is which of its labels or routes a request would get."""

from collections.abc import Mapping
from typing import Any

import orjson

from airouter.api.body import receive
from airouter.api.count_tokens import estimated
from airouter.api.fast_path import FlowRoute, Handler
from airouter.api.middleware import EXCHANGE
from airouter.api.responses import Answer
from airouter.api.timeout_header import seconds_of
from airouter.classify.features import features_of
from airouter.classify.probabilities import (
    OPTION_LABELS,
    are_options,
    chosen_option,
    option_probabilities,
)
from airouter.dialects.decision_forms import FORMS, Chosen, Form, Question, conversation
from airouter.dialects.openai_request import ChatRequest, parse_json, parse_request
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.labels import ROUTES
from airouter.domain.types import Decision
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.runtime.process import Runtime

Environ = dict[str, Any]


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    def handler(form: Form) -> Handler:
        return lambda environ: _decide(runtime, environ, form)

    return tuple(FlowRoute(form.path, ("POST",), handler(form)) for form in FORMS.values())


def _decide(runtime: Runtime, environ: Environ, form: Form) -> Waiting[Answer]:
    exchange: Exchange = environ[EXCHANGE]
    state = runtime.current.state
    limits, virtual = state.settings.server, state.settings.virtual_model
    timeout = environ.get("HTTP_X_ROUTER_TIMEOUT")
    if timeout:
        exchange.limit(seconds_of(timeout))
    exchange.hops = _hops(environ.get("HTTP_X_ROUTER_HOPS", ""))
    raw = yield from receive(exchange, environ, limits)
    content_type = environ.get("CONTENT_TYPE", "")
    payload = parse_json(raw, content_type, most_elements=limits.max_json_elements)
    _check_model(payload.get("model"), virtual)
    questions = form.questions(payload)
    for question in questions:
        _check_options(question)
    request = _request(form, payload)
    deliberation = state.pipeline.cascade.deliberate(features_of(request))
    decision = deliberation.decision or (yield from deliberation.run(exchange))
    answers = [(question, _chosen(question, decision)) for question in questions]
    body = form.answer(virtual, answers, estimated(request))
    return Answer(200, _headers(exchange, decision), orjson.dumps(body))


def _chosen(question: Question, decision: Decision) -> Chosen:
    probabilities = option_probabilities(question.options, decision)
    return Chosen(chosen_option(probabilities, decision), probabilities)


def _headers(exchange: Exchange, decision: Decision) -> list[tuple[str, str]]:
    """Those that explain a decision, as answers have them."""
    headers = [
        ("Content-Type", "application/json"),
        ("X-Router-Session", exchange.id8),
        ("X-Router-Route", decision.route),
        ("X-Router-Label", decision.label),
        ("X-Router-Tier", decision.tier),
        ("X-Router-Decision-Ms", f"{decision.ms:.3f}"),
    ]
    if decision.p is not None:
        headers.append(("X-Router-P", f"{decision.p:.3f}"))
    if decision.threshold is not None:
        headers.append(("X-Router-Threshold", f"{decision.threshold:.3f}"))
    return headers


def _hops(header: str) -> int:
    """How many routers have asked on behalf of the client; 0 if the header is no number."""
    return int(header) if header.isdecimal() and len(header) <= 3 else 0


def _check_model(model: Any, virtual: str) -> None:
    """Raises:
    BadRequest, NotFound: it is not the virtual model, which alone decides.
    """
    if model is None or model == virtual:
        return
    if not isinstance(model, str):
        raise BadRequest("'model' must be a string.", param="model", code="invalid_type")
    raise NotFound(
        f"The model {model[:80]!r} does not answer questions here; use {virtual!r}, or no model.",
        param="model",
        code="model_not_found",
    )


def _check_options(question: Question) -> None:
    if not are_options(question.options):
        raise BadRequest(
            f"'{question.place}' must be at least two different labels "
            f"({', '.join(OPTION_LABELS)}) or at least two different routes "
            f"({', '.join(ROUTES)}) of this router.",
            param=question.place,
            code="unknown_option",
        )


def _request(form: Form, payload: Mapping[str, Any]) -> ChatRequest:
    """The input as a chat request; in errors it is called by its own name."""
    try:
        return parse_request("chat", conversation(form, payload))
    except BadRequest as error:
        param = error.param or ""
        if not param.startswith("messages"):
            raise
        own = form.field + param.removeprefix("messages")
        raise BadRequest(error.message.replace(param, own, 1), param=own, code=error.code) from None
