"""/admin/*: drain, reload, events, status. Requires the admin key or one with the scope `admin`;
without an admin key, local requests need none."""

import os
from typing import Any

from flask import Blueprint, Response, jsonify, request

from airouter.api.auth import demand, holds_admin_key, key_of, on_this_machine
from airouter.api.body import read_body, small
from airouter.dialects.openai_request import parse_json
from airouter.domain.errors import BadRequest, RouterError, Unauthorized
from airouter.domain.keys import DEFAULT
from airouter.runtime.process import Runtime
from airouter.upstream.backend import Backend


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("admin", __name__, url_prefix="/admin")

    @bp.before_request
    def check() -> None:
        access = runtime.state.access
        if holds_admin_key(request.environ, access):
            return
        key = key_of(request.environ, access)
        if key is not None and key.id != DEFAULT:  # API_KEY is as good as none here
            demand(key, "admin")
            return
        if access.server.admin_key is None:
            if not on_this_machine(request.environ, access.server):
                raise Unauthorized(
                    "/admin accepts requests from this machine only, at the router's own address "
                    "and port; set ADMIN_KEY to allow access from elsewhere.",
                    status=403,
                    code="forbidden",
                )
            return
        raise Unauthorized(
            "Missing or wrong admin key: send 'Authorization: Bearer <the router's ADMIN_KEY>'."
        )

    @bp.post("/drain")
    def drain() -> Response:
        """`{"draining": true}` (the default) takes this server out of rotation, false puts it
        back."""
        on = _payload(runtime).get("draining", True)
        if not isinstance(on, bool):
            raise BadRequest(
                "'draining' must be true or false.", param="draining", code="invalid_type"
            )
        runtime.commands.drain(on)
        return jsonify({"draining": on})

    @bp.post("/reload")
    def reload() -> Response:
        try:
            runtime.commands.reload()
        except RouterError as error:
            raise BadRequest(
                f"Nothing was changed: {error.message}", code="invalid_configuration"
            ) from None
        return jsonify({"reloaded": True})

    @bp.post("/events")
    def events() -> Response:
        """Announce an event, e.g. `{"event": "model.swap.initiated", "backend": "primary",
        "expected_s": 45}`."""
        event = _payload(runtime)
        runtime.commands.announce(event)
        return jsonify({"event": event["event"], "accepted": True})

    @bp.get("/status")
    def status() -> Response:
        """State of the answering worker (`pid`); each worker has its own breakers and slots."""
        state = runtime.state
        return jsonify(
            {
                "draining": runtime.draining,
                "generation": runtime.commands.generation,
                "pid": os.getpid(),
                "workers": state.settings.server.workers,
                "backends": {name: backend_status(b) for name, b in state.backends.items()},
            }
        )

    return bp


def backend_status(backend: Backend) -> dict[str, Any]:
    """One backend's state, for operators."""
    breaker, limiter = backend.breaker, backend.limiter
    return {
        "kind": backend.settings.kind,
        "local": backend.settings.local,
        "url": backend.url,
        "model": backend.model,
        "out": backend.out,
        "breaker": breaker.state,
        "cause": breaker.cause,
        "fails": breaker.fails,
        "retry_after_s": breaker.retry_after() if breaker.state in ("cooling", "open") else None,
        "pause": backend.pause.reason,
        "pause_left_s": round(backend.pause.seconds_left(), 1),
        "slots": limiter.slots,
        "in_use": limiter.in_use,
        "waiting": limiter.waiting,
    }


def _payload(runtime: Runtime) -> dict[str, Any]:
    raw = read_body(request.environ, small(runtime.state.settings.server), runtime.clock)
    if not raw.strip():
        return {}
    # No Content-Type required: `curl -d` sends another one.
    return parse_json(raw, "", most_elements=runtime.state.settings.server.max_json_elements)
