"""CORS: which web pages may call the router from a browser.

Preflight requests (OPTIONS) carry no key; they are answered here, before authentication. By
default every origin is allowed if a key is configured, because the key protects the router, and no
origin if none is. `server.cors_origins` overrides this."""

import re
from collections.abc import Callable
from typing import Any

from airouter.api.paths import canonical
from airouter.runtime.access import Access

_MAX_AGE = "86400"  # seconds for which a browser may cache the preflight response
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")
_EXPOSED = ("retry-after", "x-should-retry")
Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]


def admit(environ: Environ, start_response: StartResponse, access: Access) -> StartResponse | None:
    """Handle the CORS part of a request that has an Origin header.

    Returns:
        A `start_response` that adds the CORS headers if the origin is allowed; None if the request
        was a preflight, which has been answered.
    """
    if not _open_to_pages(environ["PATH_INFO"]):
        return start_response
    origin = allowed_origin(environ["HTTP_ORIGIN"], access)
    if origin is None:
        return start_response
    if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
        start_response("204 No Content", _preflight(environ, origin))
        return None

    def with_origin(status: str, headers: Headers, *rest: Any) -> Any:
        return start_response(status, [*headers, *_readable(headers, origin)], *rest)

    return with_origin


def allowed_origin(origin: str, access: Access) -> str | None:
    """The value of `Access-Control-Allow-Origin` for this origin; None if it is not allowed."""
    allowed = access.server.cors_origins
    if allowed is None:
        allowed = ("*",) if access.locked else ()
    if "*" in allowed:
        return "*"
    return origin if origin.lower() in allowed else None


def _open_to_pages(path: str) -> bool:
    return canonical(path).startswith(("/v1/", "/api/"))


def _preflight(environ: Environ, origin: str) -> Headers:
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("Access-Control-Max-Age", _MAX_AGE),
        ("Vary", "Origin, Access-Control-Request-Headers"),
    ]
    wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    if _HEADER_NAMES.fullmatch(wanted):  # by name: "*" does not cover Authorization
        headers.append(("Access-Control-Allow-Headers", wanted))
    if environ.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true":
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return headers


def _readable(headers: Headers, origin: str) -> Headers:
    """Headers that let the page read the response and the router's own headers."""
    names = [
        name
        for name, _ in headers
        if name.lower().startswith("x-router-") or name.lower() in _EXPOSED
    ]
    added = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    if names:
        added.append(("Access-Control-Expose-Headers", ", ".join(names)))
    return added
