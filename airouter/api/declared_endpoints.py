"""POST /v1/rerank, /v1/audio/*, /v1/images/* and the like: passed through to the first backend that
declares them (`backends.<name>.endpoints`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from airouter.api.body import receive
from airouter.api.fast_path import FlowRoute
from airouter.api.middleware import EXCHANGE
from airouter.api.passthrough import forward
from airouter.api.responses import Answer
from airouter.dialects import wire_json
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.types import HttpRequest
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.runtime.process import Runtime
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease
from airouter.upstream.replicas import least_loaded

GROUPS: Mapping[str, tuple[str, ...]] = {
    "rerank": ("/v1/rerank", "/v1/score"),
    "audio": ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/speech"),
    "images": ("/v1/images/generations", "/v1/images/edits"),
}
_LONGEST_TYPE = 200  # characters of a Content-Type; a multipart boundary has at most 70


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    def serving(group: str, path: str) -> FlowRoute:
        def handler(environ: Mapping[str, Any]) -> Waiting[Answer]:
            return _serve(runtime, environ, group, path)

        return FlowRoute(path, ("POST",), handler, counts=True)

    return tuple(serving(group, path) for group, paths in GROUPS.items() for path in paths)


def _serve(runtime: Runtime, environ: Mapping[str, Any], group: str, path: str) -> Waiting[Answer]:
    exchange: Exchange = environ[EXCHANGE]
    state, record = runtime.state, exchange.record
    record.wanted, record.endpoint = True, path.removeprefix("/v1/")
    declared = [b for b in state.backends.values() if group in b.settings.endpoints]
    if not declared:  # before its body, which may be large, is waited for
        raise NotFound(
            f"No backend is configured for {path}; add {group!r} to `backends.<name>.endpoints` "
            "of one that serves it.",
            code="no_backend_for_endpoint",
        )
    content_type = _content_type(environ)
    body = yield from receive(exchange, environ, state.settings.server)
    model = _model_in(body, content_type, state.settings.server.max_json_elements)
    backend = _choose([b for b in declared if b.model == model] or declared)
    record.route, record.backend = "passthrough", backend.name
    headers = {**backend.headers, "Accept": "*/*", "Content-Type": content_type}
    lease = Lease(exchange, backend)
    lease.permit(last_resort=True)
    yield from lease.queue("interactive", state.settings.queue.wait)
    answer = yield from forward(exchange, lease, HttpRequest("POST", path, headers, body))
    by = [("X-Router-Session", exchange.id8), ("X-Router-Backend", backend.name)]
    return Answer(answer.status, [*answer.headers, *by], answer.body)


def _content_type(environ: Mapping[str, Any]) -> str:
    """The request's, which is passed on because it has the boundary of a multipart body.

    Raises:
        BadRequest: it cannot be a header's value.
    """
    value: str = environ.get("CONTENT_TYPE") or "application/json"
    if len(value) > _LONGEST_TYPE or not (value.isascii() and value.isprintable()):
        raise BadRequest("The Content-Type is not valid.", code="invalid_content_type")
    return value


def _model_in(body: bytes, content_type: str, most: int) -> str | None:
    """The `model` of a JSON body; None where there is none. The body is the backend's to judge."""
    if "json" not in content_type.lower():
        return None
    try:
        payload = wire_json.strict(body, most)
    except orjson.JSONDecodeError:
        return None
    model = payload.get("model") if isinstance(payload, dict) else None
    return model if isinstance(model, str) else None


def _choose(candidates: Sequence[Backend]) -> Backend:
    """The first that is up, else the first that an operator has not taken out of service; of its
    replicas the least loaded."""
    best = min(candidates, key=_state)
    group = best.group
    same = [b for b in candidates if b.group == group and _state(b) == _state(best)]
    return best if group is None else least_loaded(same)[0]


def _state(backend: Backend) -> tuple[bool, bool, bool]:
    return backend.out, not backend.can_answer, backend.pause.reason is not None
