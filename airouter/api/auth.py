"""Client authentication: a bearer key if one is configured; otherwise web pages are refused.

`/` and `/health*` are public; `/admin/*` has its own check.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from flask import Flask, request

from airouter.api.pages import refuse_pages
from airouter.domain.errors import Unauthorized
from airouter.runtime.process import Runtime
from airouter.settings.schema import Server

PUBLIC = frozenset({"/", "/health/liveness", "/health/readiness"})


def register(app: Flask, runtime: Runtime) -> None:
    @app.before_request
    def check() -> None:
        path, server = request.path, runtime.state.settings.server
        if path == "/health":  # needs no key, but probes every backend
            if server.api_key is None:
                refuse_pages(request.environ, server)
        elif path not in PUBLIC and not path.startswith("/admin/"):
            authorise(request.environ, server)


def authorise(environ: Mapping[str, Any], server: Server) -> None:
    """Check the key if one is configured; otherwise refuse web pages of other origins.

    Raises:
        Unauthorized: the request is refused.
    """
    key = server.api_key
    if key is None:
        refuse_pages(environ, server)
        return
    scheme, _, sent = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Compared as bytes, in constant time: compare_digest rejects text that is not ASCII.
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        sent.strip().encode("latin-1", "replace"), key.encode()
    ):
        raise Unauthorized(
            "Missing or wrong API key: send 'Authorization: Bearer <the router's API_KEY>'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
