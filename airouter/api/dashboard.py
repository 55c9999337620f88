"""/dashboard: its pages, sign-in, and past requests. What it streams is in `dashboard_streams`."""

from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
from flask import Blueprint, Response, redirect, render_template, request

from airouter import __version__
from airouter.api.body import read_body, small
from airouter.api.middleware import client_ip
from airouter.api.visitors import Visitor, Visitors, proved
from airouter.dashboard.dashboard import Dashboard
from airouter.dashboard.requests import Content
from airouter.domain.errors import Unauthorized
from airouter.domain.labels import ROUTES
from airouter.runtime.access import Access
from airouter.runtime.process import Runtime
from airouter.settings.schema import Settings

_FILES = Path(__file__).resolve().parent.parent / "dashboard"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null`
    "X-Content-Type-Options": "nosniff",
}
_SIGN_IN = "/dashboard/sign-in"
_NEEDS_ADMIN = "Sign in with the ADMIN_KEY to see messages."
_NOT_LOGGED = "Messages are not kept: CONTENT_LOGGING is off."


def blueprint(runtime: Runtime, dashboard: Dashboard, visitors: Visitors) -> Blueprint:
    bp = Blueprint(
        "dashboard",
        __name__,
        url_prefix="/dashboard",
        template_folder=str(_FILES / "templates"),
        static_folder=str(_FILES / "static"),
        static_url_path="/static",
    )

    def settings() -> Settings:
        return runtime.state.settings

    def access() -> Access:
        return runtime.state.access

    def visitor() -> Visitor:
        return visitors.of(request.environ, access())

    def viewer() -> Visitor:
        """Raises:
        Unauthorized: neither a session nor a key allows it.
        """
        found = visitor()
        if found.role is None:
            raise Unauthorized(f"Sign in at {_SIGN_IN}, or send the router's API_KEY.")
        return found

    @bp.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        if request.endpoint != "dashboard.static":
            response.headers["Cache-Control"] = "no-store"
        return response

    @bp.get("")
    def page() -> Any:
        who = visitor()
        if who.role is None:
            return redirect(_SIGN_IN, HTTPStatus.SEE_OTHER)
        content = _content(settings(), who)
        admin_helps = access().server.admin_key is not None and who.role != "admin"
        return _page(
            visitors,
            access(),
            who,
            "dashboard.html",
            version=__version__,
            role=who.role,
            content=content.state == "shown",
            content_hint=content.hint,
            can_sign_out=who.signed_in,
            can_sign_in=admin_helps,
            virtual_model=settings().virtual_model,
            routes=list(ROUTES),
        )

    @bp.get("/sign-in")
    def sign_in_page() -> Response:
        return _sign_in_page(visitors, access(), visitor())

    @bp.post("/sign-in")
    def sign_in() -> Any:
        who, known = visitor(), access()
        raw = read_body(request.environ, small(known.server), runtime.clock)
        form = parse_qs(raw[:10_000].decode("utf-8", "replace"))
        token, key = (form.get(name, [""])[0] for name in ("csrf", "key"))
        try:
            visitors.check(request.environ, known, who, token)
        except Unauthorized as error:
            return _sign_in_page(visitors, known, who, error.message, error.status)
        role = proved(key, known)
        if role is None:
            address = client_ip(request.environ, known.server.trusted_proxies)
            runtime.log.warning("Sign-in to the dashboard refused: client=%s", address)
            problem = "This is not the router's API_KEY or ADMIN_KEY, nor a key for the dashboard."
            return _sign_in_page(visitors, known, who, problem, 401)
        return _with_session(redirect("/dashboard", HTTPStatus.SEE_OTHER), visitors, known, role)

    @bp.post("/sign-out")
    def sign_out() -> Any:
        who, known = visitor(), access()
        raw = read_body(request.environ, small(known.server), runtime.clock)
        token = parse_qs(raw[:10_000].decode("utf-8", "replace")).get("csrf", [""])[0]
        visitors.check(request.environ, known, who, token)
        return _with_session(redirect("/dashboard", HTTPStatus.SEE_OTHER), visitors, known, None)

    @bp.get("/requests")
    def listed() -> Response:
        viewer()
        return _json(dashboard.requests.listed(settings(), request.args))

    @bp.get("/requests/<name>")
    def one(name: str) -> Response:
        content = _content(settings(), viewer())
        return _json(dashboard.requests.one(settings(), name, content))

    return bp


def _content(settings: Settings, who: Visitor) -> Content:
    if settings.logging.content == "off":
        return Content("off", _NOT_LOGGED)
    return Content("shown") if who.role == "admin" else Content("needs_admin", _needed(settings))


def _needed(settings: Settings) -> str:
    if settings.server.admin_key is not None:
        return _NEEDS_ADMIN
    return "Messages are shown on the router's own machine; set ADMIN_KEY to see them elsewhere."


def _page(
    visitors: Visitors, access: Access, who: Visitor, template: str, **values: Any
) -> Response:
    """A page with the token of its session, which begins here if there is none."""
    if who.nonce:
        token = visitors.token(who, access)
        return Response(render_template(template, csrf=token, **values))
    cookie, token = visitors.cookie(request.environ, access, None)
    response = Response(render_template(template, csrf=token, **values))
    response.headers.add("Set-Cookie", cookie)
    return response


def _sign_in_page(
    visitors: Visitors, access: Access, who: Visitor, problem: str = "", status: int = 200
) -> Response:
    response = _page(
        visitors,
        access,
        who,
        "sign_in.html",
        problem=problem,
        admin_only=not access.locked,
        version=__version__,
    )
    response.status_code = status
    return response


def _with_session(response: Any, visitors: Visitors, access: Access, role: str | None) -> Any:
    """A response that begins a new session: one that was known before cannot be given a role."""
    response.headers.add("Set-Cookie", visitors.cookie(request.environ, access, role)[0])
    return response


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), content_type="application/json")
