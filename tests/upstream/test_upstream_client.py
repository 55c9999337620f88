"""Every call to a backend is opened in one place, and so passes the checks on what is sent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from doubles import FakeClock
from making import make_backend

from airouter.domain.clock import Clock
from airouter.domain.types import HttpRequest
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.egress import Check, EgressRefused
from airouter.upstream.health import ask_all

PACKAGE = Path(__file__).parents[2] / "airouter"


def backend(*checks: Check, local: bool = True) -> Backend:
    settings = BackendSettings(url="http://127.0.0.1:9", model="m", local=local)
    return make_backend("b", settings, FakeClock(), checks=checks)


def test_one_module_makes_calls() -> None:
    """`open_call()` does: no other module makes one, or has a backend make one."""
    makers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        in ("Call", "connect")
        and not ast.unparse(node.func).startswith(("sqlite3.", "duckdb."))
    }
    assert makers == {"upstream/client.py"}


def test_checks_run_in_their_order_and_may_change_the_request() -> None:
    """Each sees what the one before it made of the request, and where it goes."""
    seen = []

    def mark(name: str, spec: BackendSettings, request: HttpRequest) -> HttpRequest:
        seen.append((name, spec.local, request.body))
        return HttpRequest(request.method, request.path, request.headers, request.body + b"!")

    call = open_call(backend(mark, mark, local=False), HttpRequest("POST", "/x", {}, b"a"))
    assert seen == [("b", False, b"a"), ("b", False, b"a!")]
    assert b"".join(call._out).endswith(b"a!!")


def refuse(_name: str, spec: BackendSettings, request: HttpRequest) -> HttpRequest:
    if not spec.local:
        raise EgressRefused("The request holds something that is not sent to a third party.")
    return request


def test_a_refusal_opens_nothing() -> None:
    """No socket is opened for what may not be sent; a local backend is another matter."""
    with pytest.raises(EgressRefused):
        open_call(backend(refuse, local=False), HttpRequest("POST", "/x"))
    assert open_call(backend(refuse), HttpRequest("POST", "/x")).error is None


def test_probes_pass_the_checks_too() -> None:
    """A check that refuses makes the backend unhealthy instead of stopping the prober."""
    told = ask_all({"b": backend(refuse, local=False)}, Clock(), 1)
    assert not told["b"].healthy
