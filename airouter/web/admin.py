"""/admin/*: drain, reload, events, status. With the admin key, or from this machine when none is set."""

import hmac
import ipaddress
from typing import Any

from flask import Blueprint, Response, jsonify, request

from airouter.errors import BadRequest, RouterError, Unauthorized
from airouter.request import parse_json
from airouter.runtime import Runtime
from airouter.upstream.backend import Backend
from airouter.web.body import read_body


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("admin", __name__, url_prefix="/admin")

    @bp.before_request
    def check() -> None:
        key = runtime.state.settings.server.admin_key
        if key is None:
            if not _on_this_machine():
                raise Unauthorized(
                    "/admin is open to this machine only; set ADMIN_KEY to use it from elsewhere.", status=403, code="forbidden"
                )
            return
        scheme, _, sent = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode("latin-1", "replace"), key.encode()):
            raise Unauthorized("The admin key is needed: send 'Authorization: Bearer <ADMIN_KEY of this router>'.")

    @bp.post("/drain")
    def drain() -> Response:
        """`{"draining": true}` (the default) takes this server out of rotation, false puts it back."""
        on = _payload(runtime).get("draining", True)
        if not isinstance(on, bool):
            raise BadRequest("'draining' must be true or false.", param="draining", code="invalid_type")
        runtime.drain(on)
        return jsonify({"draining": on})

    @bp.post("/reload")
    def reload() -> Response:
        try:
            runtime.reload()
        except RouterError as error:
            raise BadRequest(f"Nothing was changed: {error.message}", code="invalid_configuration") from None
        return jsonify({"reloaded": True})

    @bp.post("/events")
    def events() -> Response:
        """`{"event": "model.swap.initiated", "backend": "primary", "expected_s": 45}` and its fellows."""
        event = _payload(runtime)
        runtime.announce(event)
        return jsonify({"event": event["event"], "accepted": True})

    @bp.get("/status")
    def status() -> Response:
        return jsonify({"draining": runtime.draining, "backends": {name: backend_status(b) for name, b in runtime.state.backends.items()}})

    return bp


def backend_status(backend: Backend) -> dict[str, Any]:
    """One backend as the operator wants to see it."""
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
        "pause": backend.pause.reason,
        "slots": limiter.slots,
        "in_use": limiter.in_use,
        "waiting": limiter.waiting,
    }


def _payload(runtime: Runtime) -> dict[str, Any]:
    raw = read_body(request.environ, runtime.state.settings.server, runtime.clock)
    return parse_json(raw, "") if raw.strip() else {}  # an operator's curl need not name the type


def _on_this_machine() -> bool:
    """A loopback peer that speaks for itself: a proxy on this machine forwards for anybody."""
    if any(name in request.environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")):
        return False
    try:
        return ipaddress.ip_address(request.environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
