"""Serves the endpoints that wait for backends as flows, so that no thread waits with them; Flask
serves all others. Bypassing Flask's dispatch also saves an eighth of the latency that the router
adds to a request.

Both get the same checks and errors here, before the request's body is read.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any

from flask import Flask

from airouter.api import auth
from airouter.api.body import receive, small
from airouter.api.middleware import DIALECT, EXCHANGE, KEY
from airouter.api.paths import canonical
from airouter.api.render_errors import answer_to
from airouter.api.responses import Answer
from airouter.dialects.openai import OPENAI
from airouter.domain.dialect import ClientDialect
from airouter.domain.errors import RouterError, forget_traceback
from airouter.domain.types import immutable
from airouter.flow.driver import waits_of
from airouter.flow.exchange import Exchange
from airouter.flow.reply import INCOMING, Place, Reply, Sending
from airouter.flow.waits import Wait, Waiting
from airouter.runtime.process import Runtime

Environ = dict[str, Any]
Handler = Callable[[Environ], Waiting[Answer]]
# Answered from memory: nothing they do can wait.
_AT_ONCE = ("/health/liveness", "/health/readiness")


@immutable
class FlowRoute:
    """An endpoint that is a flow. A path that ends with a slash stands for all paths below it.

    `counts`: whether its requests are recorded even if they are refused.
    """

    path: str
    methods: tuple[str, ...]
    handler: Handler
    dialect: ClientDialect = OPENAI
    counts: bool = False


def declare(app: Flask, routes: Iterable[FlowRoute]) -> None:
    """Tell Flask of the routes, for its 405s and its answers to OPTIONS; it never serves them."""
    for route in routes:
        path = f"{route.path}<path:_>" if route.path.endswith("/") else route.path
        app.add_url_rule(path, route.path, methods=route.methods)


class FastPath:
    """Wraps Flask's WSGI application."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        runtime: Runtime,
        routes: Iterable[FlowRoute],
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._routes: Mapping[tuple[str, str], FlowRoute] = {
            (method, route.path): route for route in routes for method in route.methods
        }

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        route = self._route(environ)
        path = environ["PATH_INFO"]
        if route is not None:
            environ[DIALECT] = route.dialect
        try:
            self._admit(environ, path)
        except Exception as error:
            # A request that is refused is counted, as one that is malformed.
            environ[EXCHANGE].record.wanted = route is not None and route.counts
            return answer_to(error, environ)(environ, start_response)
        exchange: Exchange = environ[EXCHANGE]
        if route is not None:
            return Reply(exchange, self._flow(route.handler, environ, start_response))
        if INCOMING not in environ:
            return self._app(environ, start_response)
        return Reply(exchange, self._in_flask(exchange, environ, start_response), _place(path))

    def _admit(self, environ: Environ, path: str) -> None:
        """Check the key, its scope and its limit."""
        state = self._runtime.current.state
        key = auth.check(environ, state.access)
        if key is None:
            return
        environ[KEY], environ[EXCHANGE].record.key_id = key, key.id
        auth.demand(key, auth.scope_of(path))
        if path not in auth.CHARGED_BY_TENANT:
            state.rates.charge(key)

    def _route(self, environ: Environ) -> FlowRoute | None:
        """The flow that serves the path, which is made canonical."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        method = "GET" if method == "HEAD" else method
        route = self._routes.get((method, path))
        if route is None:
            path = environ["PATH_INFO"] = canonical(path)
            route = self._routes.get((method, path)) or self._routes.get((method, _above(path)))
        return route

    def _flow(
        self, handler: Handler, environ: Environ, start_response: Callable[..., Any]
    ) -> Sending:
        try:
            answer = yield from waits_of(handler(environ))  # no keepalive before the head
        except Exception as error:
            yield from self._failed(error, environ, start_response)
            return
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        if isinstance(answer.body, bytes):
            start_response(status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
            yield answer.body
            return
        body = answer.body
        try:
            first = next(body, b"")
            while isinstance(first, Wait):
                yield first
                first = next(body, b"")
        except RouterError as error:  # nothing has been sent, so it can still be said
            yield from self._failed(error, environ, start_response)
            return
        start_response(status, answer.headers)
        yield first
        yield from body

    def _failed(
        self, error: Exception, environ: Environ, start_response: Callable[..., Any]
    ) -> Sending:
        yield from answer_to(error, environ)(environ, start_response)
        forget_traceback(error)

    def _in_flask(
        self, exchange: Exchange, environ: Environ, start_response: Callable[..., Any]
    ) -> Sending:
        """Waits for the request's body first, so that it costs no thread."""
        try:
            limits = small(self._runtime.current.state.settings.server)
            body = yield from waits_of(receive(exchange, environ, limits))
        except Exception as error:
            yield from self._failed(error, environ, start_response)
            return
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_CONTENT_ENCODING", None)
        pieces = self._app(environ, start_response)
        try:
            yield from pieces
        finally:
            if close := getattr(pieces, "close", None):
                close()


def _place(path: str) -> Place:
    if path in _AT_ONCE:
        return "loop"
    return "control" if path.startswith(("/metrics", "/admin/", "/dashboard")) else "pool"


def _above(path: str) -> str:
    return path[: path.find("/", 1) + 1]
