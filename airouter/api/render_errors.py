"""Renders all errors, in the format of the API that was called, which is OpenAI's if it is unknown.
The text of an exception never reaches a client."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from airouter.api import mapper_errors
from airouter.api.auth import is_maps
from airouter.api.instead import instead_of
from airouter.api.middleware import DIALECT, EXCHANGE
from airouter.api.paths import is_messages, is_ollamas
from airouter.api.responses import printable
from airouter.dialects.messages import MESSAGES, Messages
from airouter.dialects.ollama import OLLAMA
from airouter.dialects.openai import OPENAI
from airouter.dialects.openai_errors import openai_shaped, reason_of, refuses_content
from airouter.dialects.openai_responses import Responses
from airouter.domain.dialect import ClientDialect
from airouter.domain.errors import (
    CLIENTS_FAULT,
    BadRequest,
    ClientGone,
    NotFound,
    RouterError,
    TooLarge,
    UpstreamStatus,
)
from airouter.flow.exchange import Exchange
from airouter.proxy.retry_policy import retry_after

# Status codes of a backend that are passed on to the client. 401 and 403 concern the router's key,
# not the client's request.
_PASSED_ON = frozenset(range(400, 600)) - {401, 403, 407}
# Server errors that clients of these APIs get as they are. Any other of a backend is a 502: its 500
# would read as a fault of the router.
_SERVER_ERRORS = {Messages: {502, 503, 504, 529}, Responses: {502, 503, 504}}


def register(app: Flask) -> None:
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, lambda error: answer_to(error, request.environ))


def answer_to(error: Exception, environ: Mapping[str, Any]) -> Response:
    """The HTTP response for an exception raised before the response started."""
    exchange: Exchange | None = environ.get(EXCHANGE)
    if isinstance(error, ClientGone):
        if exchange is not None:
            exchange.gone()
        return Response(b"", 499)  # for the access log; the client is gone
    if not isinstance(error, RouterError):
        logging.getLogger(__name__).error(
            "unhandled error on %s", environ.get("PATH_INFO"), exc_info=error
        )
        error = RouterError("Internal error in the router; see its log for details.")
    return render(error, environ)


def render(error: RouterError, environ: Mapping[str, Any]) -> Response:
    """The HTTP response for an error, in the format of the API that was called."""
    exchange: Exchange | None = environ.get(EXCHANGE)
    status, body, headers = error.status, error.body(), dict(error.headers)
    if isinstance(error, UpstreamStatus):
        status, body, passed = _upstream(error)
        headers |= passed
        known = _SERVER_ERRORS.get(type(_dialect(environ)))
        status = 502 if known and status >= 500 and status not in known else status
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if exchange is not None:
        headers["X-Router-Session"] = exchange.id8
        record = exchange.record
        if record.wanted and record.route != "none":
            headers["X-Router-Route"] = record.route
        if record.attempts:
            headers["X-Router-Attempts"] = printable(", ".join(map(str, record.attempts)))
        exchange.fail(error) if not isinstance(error, UpstreamStatus) else exchange.finish(
            "client_error" if status in CLIENTS_FAULT else "upstream_error",
            status,
            error.message,
            error.reason,
        )
    if is_maps(environ.get("PATH_INFO", "")):
        status, body = mapper_errors.shaped(error, exchange.id8 if exchange is not None else "")
    else:
        body = _dialect(environ).error(body)
    return Response(orjson.dumps(body), status, headers, content_type="application/json")


def _upstream(error: UpstreamStatus) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers for a backend's own error; the body is converted to OpenAI's format
    if necessary."""
    wait = retry_after(error.upstream_headers)
    headers = {} if wait is None else {"Retry-After": str(math.ceil(wait))}
    shaped = openai_shaped(error)
    if error.upstream_status not in _PASSED_ON and not refuses_content(error):
        said = _said_to_us(error, reason_of(shaped))
        refused = RouterError(
            f"{error.message}{said} The router's key for this backend is wrong, missing or not "
            "allowed to do this; your own key is not the problem.",
            status=502,
            code="upstream_refused_key",
        )
        return 502, refused.body(), headers
    return error.upstream_status, shaped, headers


def _said_to_us(error: UpstreamStatus, reason: str) -> str:
    """The reason of a 403, which need not be the key: a region, a model, an account. Not one that
    speaks of keys: providers quote the ends of the router's there."""
    if error.upstream_status != 403 or reason == error.message or "key" in reason.lower():
        return ""
    return f" It says: {reason.rstrip('.')}."


def _dialect(environ: Mapping[str, Any]) -> ClientDialect:
    """Of the API that was called, or would have been with another method."""
    known: ClientDialect | None = environ.get(DIALECT)
    if known is not None:
        return known
    path = environ.get("PATH_INFO", "")
    if is_ollamas(path):
        return OLLAMA
    return MESSAGES if is_messages(path) or "HTTP_ANTHROPIC_VERSION" in environ else OPENAI


def _rendered(error: RouterError) -> Response:
    return render(error, request.environ)


def _http_exception(error: HTTPException) -> Response:
    if error.code == 404:
        return _rendered(
            NotFound(
                f"The path {request.path[:100]!r} does not exist. {instead_of(request.path)}",
                code="unknown_url",
            )
        )
    if error.code == 413:
        return _rendered(TooLarge("The request body is too large."))
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        response = _rendered(
            BadRequest(
                f"The method {request.method} is not allowed for this path; use {allowed}.",
                status=405,
                code="method_not_allowed",
            )
        )
        response.headers["Allow"] = allowed
        return response
    if error.code is not None and 300 <= error.code < 400:
        return Response(b"", error.code, error.get_headers())
    return _rendered(
        BadRequest(
            "The request is malformed.",
            status=error.code if error.code and error.code < 500 else 400,
        )
    )
