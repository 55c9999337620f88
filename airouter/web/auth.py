"""Who may call: a bearer key when one is configured, else programs but not any web page.

`/` and `/health*` are public; `/admin/*` has a guard of its own.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from flask import Flask, request

from airouter.errors import Unauthorized
from airouter.runtime import Runtime
from airouter.settings import Server
from airouter.web.pages import refuse_pages

PUBLIC = frozenset({"/", "/health/liveness", "/health/readiness"})


def register(app: Flask, runtime: Runtime) -> None:
    @app.before_request
    def check() -> None:
        path, server = request.path, runtime.state.settings.server
        if path == "/health":  # it needs no key, but asks every backend
            if server.api_key is None:
                refuse_pages(request.environ, server)
        elif path not in PUBLIC and not path.startswith("/admin/"):
            authorise(request.environ, server)


def authorise(environ: Mapping[str, Any], server: Server) -> None:
    """Check the key where there is one, else that the request is not a foreign web page's.

    Raises:
        Unauthorized: it may not be served.
    """
    key = server.api_key
    if key is None:
        refuse_pages(environ, server)
        return
    scheme, _, sent = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Bytes, in constant time: a header may hold anything, and compare_digest refuses text that is not ASCII.
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        sent.strip().encode("latin-1", "replace"), key.encode()
    ):
        raise Unauthorized(
            "A valid key is needed: send 'Authorization: Bearer <API_KEY of this router>'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
