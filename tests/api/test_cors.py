"""Web pages that call the router: which may, and what their browser is told."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from harness import body, content

from airouter.api.cors import allowed_origin
from airouter.runtime.access import Access
from airouter.settings.schema import Server
from bench.router_process import RouterProcess
from simulator.testing import Simulator

PAGE = "http://localhost:5173"
ASK = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-timeout",
}


@pytest.mark.parametrize(
    ("server", "origin", "allowed"),
    [
        ({}, PAGE, None),
        ({"api_key": "k"}, PAGE, "*"),
        ({"api_key": "k", "cors_origins": []}, PAGE, None),
        ({"cors_origins": ["*"]}, PAGE, "*"),
        ({"cors_origins": [PAGE]}, PAGE, PAGE),
        ({"cors_origins": [PAGE + "/"]}, PAGE, PAGE),
        ({"cors_origins": ["HTTP://LocalHost:5173"]}, PAGE, PAGE),
        ({"cors_origins": [PAGE]}, "http://localhost:5174", None),
        ({"cors_origins": [PAGE]}, "https://localhost:5173", None),
        ({"cors_origins": [PAGE]}, "null", None),
        ({"cors_origins": ["null"]}, "null", "null"),
        ({"cors_origins": ["file://"]}, "file://", "file://"),
        ({"cors_origins": ["app://desktop"]}, "app://desktop", "app://desktop"),
    ],
)
def test_who_may_call(server: dict[str, Any], origin: str, allowed: str | None) -> None:
    """With a key the key protects; without one only pages that are named."""
    assert allowed_origin(origin, Access(Server(**server))) == allowed


@pytest.mark.parametrize("origin", ["localhost", "http://a/b", "http://", "*.example.com", ""])
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Server(cors_origins=(origin,))


@pytest.fixture
def keyed(make_router) -> RouterProcess:
    return make_router(env={"API_KEY": "secret"})


def test_a_preflight_needs_no_key(keyed: RouterProcess, sim: Simulator) -> None:
    for path in ("/v1/chat/completions", "/v1/models", "/models", "/v1/moon"):
        answer = requests.options(keyed.url + path, headers=ASK, timeout=10)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        methods = answer.headers["Access-Control-Allow-Methods"]
        assert {"GET", "POST", "DELETE"} <= {*methods.split(", ")}
        wanted = ASK["Access-Control-Request-Headers"]
        assert answer.headers["Access-Control-Allow-Headers"] == wanted
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert sim.stats("primary")["started"] == 0


def test_the_page_may_read_answers_errors_and_the_routers_headers(keyed: RouterProcess) -> None:
    key = {"Authorization": "Bearer secret"}
    answer = requests.post(
        keyed.url + "/v1/chat/completions",
        json=body("Hello", model="ai-router/primary"),
        headers={"Origin": PAGE, **key},
        timeout=20,
    )
    assert content(answer)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {name for name in answer.headers if name.startswith("X-Router-")}
    refused = requests.get(keyed.url + "/v1/models", headers={"Origin": PAGE}, timeout=10)
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")


def test_other_paths_are_not_opened(keyed: RouterProcess) -> None:
    for path in ("/admin/drain", "//admin/drain", "/metrics", "/primary/v1/models"):
        answer = requests.options(keyed.url + path, headers=ASK, timeout=10)
        assert "Access-Control-Allow-Origin" not in answer.headers, path


def test_without_a_key_no_page_may_call(router: RouterProcess) -> None:
    answer = requests.options(router.url + "/v1/chat/completions", headers=ASK, timeout=10)
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_header_list_that_is_none_is_not_repeated(keyed: RouterProcess) -> None:
    odd = {**ASK, "Access-Control-Request-Headers": "a<script>"}
    answer = requests.options(keyed.url + "/v1/models", headers=odd, timeout=10)
    assert answer.status_code == 204
    assert "Access-Control-Allow-Headers" not in answer.headers
