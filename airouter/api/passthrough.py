"""/router/* and /primary/*: an allow-list of paths of a backend's own API, e.g. for benchmarks."""

import errno
from collections.abc import Iterator

from flask import Blueprint, Response, request

from airouter.api.body import read_body
from airouter.api.middleware import EXCHANGE
from airouter.domain import redaction
from airouter.domain.errors import ClientGone, NotFound, RouterError
from airouter.domain.types import HttpRequest
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange
from airouter.runtime.process import Runtime
from airouter.upstream.client import Lease, open_call
from airouter.upstream.transport.call import Call

GETS = frozenset({"health", "version", "metrics", "load", "v1/models"})
POSTS = frozenset({"v1/chat/completions", "v1/completions", "v1/embeddings", "tokenize"})
_PASSED_HEADERS = ("content-type", "retry-after")


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("passthrough", __name__)

    @bp.get("/<any(router, primary):name>/<path:path>")
    @bp.post("/<any(router, primary):name>/<path:path>")
    def forward(name: str, path: str) -> Response:
        allowed = POSTS if request.method == "POST" else GETS
        if path not in allowed:
            raise NotFound(
                f"{request.method} /{name}/{path[:60]} is not forwarded; allowed paths: "
                f"{', '.join(sorted(allowed))}.",
                code="unknown_url",
            )
        backend = runtime.state.backends.get(name)
        if backend is None:
            raise NotFound(f"No backend {name!r} is configured.", code="no_backend")
        exchange: Exchange = request.environ[EXCHANGE]
        body = b""
        if request.method == "POST":
            exchange.record.wanted = True
            exchange.record.endpoint, exchange.record.route, exchange.record.backend = (
                f"{name}/{path}",
                "passthrough",
                name,
            )
            body = read_body(request.environ, runtime.state.settings.server, runtime.clock)
            wait = runtime.state.settings.queue.wait
            complete(exchange, Lease(exchange, backend).queue("interactive", wait))
        call = open_call(backend, HttpRequest(request.method, f"/{path}", backend.headers, body))
        call.extend_first_byte()
        exchange.begin(call)
        while not (call.head_at or call.finished):
            complete(exchange, exchange.wait())
        if call.error is not None:
            raise call.error
        headers = {key.title(): call.headers[key] for key in _PASSED_HEADERS if key in call.headers}
        return Response(_body(exchange, call), call.status, headers, direct_passthrough=True)

    return bp


def _body(exchange: Exchange, call: Call) -> Iterator[bytes]:
    keys = redaction.Stream()
    try:
        while True:
            data = keys.feed(call.take())
            if data:
                yield data
            elif call.finished:
                break
            else:
                complete(exchange, exchange.wait())
    except ClientGone:
        exchange.gone()
        return
    except RouterError as error:
        exchange.fail(error)
        raise _cut() from None
    exchange.end(call)
    if call.error is not None:
        exchange.fail(call.error)
        raise _cut()
    if rest := keys.flush():
        yield rest
    exchange.finish("ok" if call.status < 400 else "upstream_error", call.status)


def _cut() -> OSError:
    """Makes gunicorn close the connection, without a traceback in its log: the only way to signal
    that a forwarded body is incomplete."""
    return ConnectionResetError(errno.ECONNRESET, "the backend's answer was cut off")
