"""/router/* and /primary/*: an allow-list of paths of a backend's own API, e.g. for benchmarks."""

import errno
from typing import Any

from airouter.api.body import receive
from airouter.api.fast_path import FlowRoute
from airouter.api.middleware import EXCHANGE
from airouter.api.responses import Answer
from airouter.domain import redaction
from airouter.domain.errors import (
    CLIENTS_FAULT,
    ClientGone,
    NotFound,
    Reason,
    RouterError,
    UpstreamStatus,
)
from airouter.domain.types import HttpRequest
from airouter.flow.driver import waits_of
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Sending
from airouter.flow.waits import Waiting
from airouter.runtime.process import Runtime
from airouter.upstream.client import Lease, open_call
from airouter.upstream.replicas import least_loaded
from airouter.upstream.transport.call import Call

GETS = frozenset({"health", "version", "metrics", "load", "v1/models"})
POSTS = frozenset({"v1/chat/completions", "v1/completions", "v1/embeddings", "tokenize"})
_PASSED_HEADERS = ("content-type", "retry-after")


def routes(runtime: Runtime) -> tuple[FlowRoute, ...]:
    def handler(environ: dict[str, Any]) -> Waiting[Answer]:
        return _forward(runtime, environ)

    methods = ("GET", "POST")
    return FlowRoute("/router/", methods, handler), FlowRoute("/primary/", methods, handler)


def _forward(runtime: Runtime, environ: dict[str, Any]) -> Waiting[Answer]:
    _, name, path = environ["PATH_INFO"].split("/", 2)
    posted = environ["REQUEST_METHOD"] == "POST"
    method, allowed = ("POST", POSTS) if posted else ("GET", GETS)
    if path not in allowed:
        raise NotFound(
            f"{method} /{name}/{path[:60]} is not forwarded; allowed paths: "
            f"{', '.join(sorted(allowed))}.",
            code="unknown_url",
        )
    state = runtime.state
    members = [state.backends[each] for each in state.settings.members((name,))]
    if not members:
        raise NotFound(f"No backend {name!r} is configured.", code="no_backend")
    backend = least_loaded(members)[0]
    exchange: Exchange = environ[EXCHANGE]
    lease, body = Lease(exchange, backend), b""
    if posted:
        exchange.record.wanted = True
        exchange.record.endpoint, exchange.record.route, exchange.record.backend = (
            f"{name}/{path}",
            "passthrough",
            backend.name,
        )
        body = yield from receive(exchange, environ, runtime.state.settings.server)
        yield from lease.queue("interactive", runtime.state.settings.queue.wait)
    request = HttpRequest(method, f"/{path}", backend.headers, body)
    return (yield from forward(exchange, lease, request))


def forward(exchange: Exchange, lease: Lease, request: HttpRequest) -> Waiting[Answer]:
    """Send a request as it is; its answer, whose body is passed on as it comes.

    Args:
        lease: of the backend. Its breaker is told how it went, if it gave a permit.

    Raises:
        RouterError: the backend could not be reached, or broke before the head of its answer.
    """
    call = open_call(lease.backend, request)
    call.extend_first_byte()
    exchange.begin(call)
    while not (call.head_at or call.finished):
        yield from exchange.wait()
    if call.error is not None:
        lease.failed(call.error)
        raise call.error
    headers = [(key.title(), call.headers[key]) for key in _PASSED_HEADERS if key in call.headers]
    return Answer(call.status, headers, _body(exchange, lease, call))


def _body(exchange: Exchange, lease: Lease, call: Call) -> Sending:
    """Raises:
    RouterError: it breaks off before its first byte; later, the connection is cut.
    """
    keys, begun = redaction.Stream(), False
    try:
        while True:
            data = keys.feed(call.take())
            if data:
                begun = True
                yield data
            elif call.finished:
                break
            else:
                yield from waits_of(exchange.wait())
    except ClientGone:
        exchange.gone()
        return
    except RouterError as error:
        exchange.fail(error)
        raise (_cut() if begun else error) from None
    exchange.end(call)
    if call.error is not None:
        lease.failed(call.error)
        exchange.fail(call.error)
        raise (_cut() if begun else call.error)
    if call.status >= 500:
        said = f"The backend {call.name!r} answered with status {call.status}."
        lease.failed(UpstreamStatus(said, upstream_status=call.status, body=b"", headers={}))
    else:
        lease.succeeded()
    if rest := keys.flush():
        yield rest
    if call.status < 400:
        exchange.finish("ok", call.status)
    else:
        fault: Reason = "client_invalid" if call.status in CLIENTS_FAULT else "backend_error"
        exchange.finish("upstream_error", call.status, reason=fault)


def _cut() -> OSError:
    """Makes the server close the connection, without a traceback in its log: the only way to signal
    that a forwarded body is incomplete."""
    return ConnectionResetError(errno.ECONNRESET, "the backend's answer was cut off")
