"""Who may call: a bearer key, when one is configured. `/` and `/health*` are public and spend nothing; `/admin/*` has
a guard of its own."""

import hmac
from collections.abc import Mapping
from typing import Any

from flask import Flask, request

from airouter.errors import Unauthorized
from airouter.runtime import Runtime


def register(app: Flask, runtime: Runtime) -> None:
    @app.before_request
    def check() -> None:
        path = request.path
        if not (path == "/" or path == "/health" or path.startswith(("/health/", "/admin/"))):
            authorise(request.environ, runtime.state.settings.server.api_key)


def authorise(environ: Mapping[str, Any], key: str | None) -> None:
    """Raises Unauthorized unless the request carries the key, where there is one."""
    if key is None:
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
