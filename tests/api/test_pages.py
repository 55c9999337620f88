"""A web page cannot use a router that asks for no key; programs are not affected."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import measured
import openai
import pytest
import requests
from harness import error_of

from airouter.api.auth import refuse_pages
from airouter.domain.errors import Unauthorized
from airouter.settings.schema import Server
from bench.router_process import RouterProcess
from simulator.testing import Simulator

BODY = json.dumps(
    {"model": "ai-router/primary", "messages": [{"role": "user", "content": "drive-by"}]}
)
TYPES = (
    None,
    "text/plain",
    "text/plain;x=json",
    "application/x-www-form-urlencoded",
    "application/json",
)
POSTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/api/route",
    "/primary/v1/chat/completions",
    "/router/tokenize",
    "/admin/drain",
    "/admin/events",
)
GETS = (
    "/primary/health",
    "/router/metrics",
    "/v1/models",
    "/stats",
    "/metrics",
    "/health",
    "/admin/status",
)
EVIL = "https://evil.example"
# What a browser sends from a page: (Host, Origin, Sec-Fetch-Site); None: not sent. {port}: the
# router's own.
PAGES: tuple[tuple[str, str | None, str | None], ...] = (
    ("127.0.0.1:{port}", EVIL, "cross-site"),
    ("127.0.0.1:{port}", EVIL, None),
    ("127.0.0.1:{port}", None, "cross-site"),
    ("127.0.0.1:{port}", "null", "cross-site"),
    ("127.0.0.1:{port}", "null", None),
    ("localhost:{port}", "http://localhost:3000", "same-site"),
    ("localhost:{port}", "http://127.0.0.1.evil.example:{port}", None),
    ("127.0.0.1:{port}", "chrome-extension://abcdefghijklmnop", "none"),
    ("evil.example:{port}", "http://evil.example:{port}", "same-origin"),
    ("evil.example:{port}", "http://evil.example:{port}", None),
    ("evil.example:{port}", None, None),
    ("localhost.evil.example", None, None),
    ("127.0.0.1.evil.example:{port}", None, None),
    ("127.0.0.1:{port}@evil.example", None, None),
    ("127.0.0.1:{port}, evil.example", None, None),
    ("192.0.2.7:{port}", "http://192.0.2.7:{port}", "same-origin"),
)


@pytest.fixture(scope="module")
def backends() -> Iterator[Simulator]:
    """A simulator of their own: no other router probes it."""
    with Simulator(profile="fast", roles=("router", "primary")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def keyless(
    backends: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    urls = {name: backends.url(name) for name in ("router", "primary")}
    config = {"cascade": {"tiers": ["rules"]}, "probes": {"enabled": False}}
    router = RouterProcess(tmp_path_factory.mktemp("keyless"), backends=urls, config=config)
    router.start()
    yield router
    measured.kill(router)


def send(router: RouterProcess, method: str, path: str, headers: dict[str, str]) -> int:
    """The status of one request, sent with exactly these headers."""
    body = BODY if method == "POST" else ""
    lines = [f"{method} {path} HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", router.port), timeout=30) as sock:
        sock.sendall(("\r\n".join([*lines, "", ""]) + body).encode())
        with sock.makefile("rb") as answer:
            return int(answer.read().split()[1])


def test_no_page_reaches_a_backend(keyless: RouterProcess, backends: Simulator) -> None:
    """Every way in which a page can send a request is refused: none is executed, forwarded, or
    answered."""
    backends.reset()
    variants = [
        *itertools.product(("POST",), POSTS, TYPES, PAGES),
        *itertools.product(("GET",), GETS, (None,), PAGES),
    ]
    assert len(variants) >= 200
    served = []
    for method, path, content_type, (host, origin, site) in variants:
        named = {
            "Host": host,
            "Origin": origin,
            "Sec-Fetch-Site": site,
            "Content-Type": content_type,
        }
        headers = {k: v.format(port=keyless.port) for k, v in named.items() if v is not None}
        if send(keyless, method, path, headers) not in (400, 403):
            served.append((method, path, headers))
    assert served == []
    for role in ("router", "primary"):
        assert backends.stats(role)["by_path"] == {}


def test_what_needs_no_guard_stays_open(keyless: RouterProcess) -> None:
    """Whether the process lives is told to every load balancer, by whatever name it asks."""
    for path in ("/", "/health/liveness"):
        assert send(keyless, "GET", path, {"Host": "evil.example", "Origin": EVIL}) == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]", "host.docker.internal"]
)
def test_programs_are_served(keyless: RouterProcess, host: str) -> None:
    """By any local name, with the headers that HTTP libraries add; also without a content type."""
    for extra in ({}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Site": "none"}, {"Referer": EVIL}):
        headers = {"Host": f"{host}:{keyless.port}", "User-Agent": "curl/8.5.0", **extra}
        json_type = {"Content-Type": "application/json"}
        assert send(keyless, "POST", "/v1/chat/completions", {**headers, **json_type}) == 200
        assert send(keyless, "POST", "/v1/chat/completions", headers) == 200
        assert send(keyless, "GET", "/v1/models", headers) == 200
    assert send(keyless, "GET", "/v1/models", {}) == 200  # HTTP/1.0 clients send no Host


def test_sdks_are_served(keyless: RouterProcess) -> None:
    """requests and OpenAI's SDK, whole and streamed."""
    url = f"{keyless.url}/v1"
    whole = requests.post(f"{url}/chat/completions", json=json.loads(BODY), timeout=30)
    assert whole.status_code == 200
    with openai.OpenAI(base_url=url, api_key="unused") as client:
        asked: Any = json.loads(BODY)
        assert client.chat.completions.create(**asked).choices
        assert list(client.chat.completions.create(**asked, stream=True))


def test_the_refusal_names_the_setting(keyless: RouterProcess) -> None:
    """A client that is meant to be served learns what to set; the error has OpenAI's shape."""
    for headers, code, setting in (
        ({"Origin": EVIL}, "forbidden_origin", "server.cors_origins"),
        ({"Host": "evil.example"}, "forbidden_host", "server.allowed_hosts"),
    ):
        for path in ("/v1/chat/completions", "/api/route"):
            answer = requests.post(
                f"{keyless.url}{path}", json=json.loads(BODY), headers=headers, timeout=30
            )
            assert answer.status_code == 403
            assert error_of(answer)["code"] == code
            assert setting in error_of(answer)["message"]


def refused(server: dict[str, Any], **environ: str) -> str | None:
    """The code of the refusal, None when the request is served."""
    try:
        refuse_pages(environ, Server.model_validate(server))
    except Unauthorized as error:
        return error.code
    return None


OPEN = {"host": "0.0.0.0", "allow_open": True}


@pytest.mark.parametrize(
    ("server", "host", "served"),
    [
        ({}, "", True),
        ({}, "127.3.2.1:8002", True),
        ({}, "[::ffff:127.0.0.1]:8002", True),
        ({}, "router.localhost:8002", True),
        ({}, "router.localhost.example", False),
        ({}, "192.168.1.5:8002", False),
        ({}, "0.0.0.0:8002", False),
        ({}, "router", True),
        ({}, "router:8002", True),
        ({}, "[2001:db8::1]:8002", False),
        ({}, "127.0.0.1:99999x", False),
        ({}, "user@127.0.0.1", False),
        ({"allowed_hosts": ["llm.example.com"]}, "LLM.example.com", True),
        ({"allowed_hosts": ["llm.example.com"]}, "llm.example.com.:443", True),
        ({"allowed_hosts": ["llm.example.com"]}, "sub.llm.example.com", False),
        ({"allowed_hosts": ["*.example.com"]}, "llm.example.com", True),
        ({"allowed_hosts": ["*.example.com"]}, "evilexample.com", False),
        ({"allowed_hosts": ["*"]}, "evil.example", True),
        ({"host": "192.168.1.5", "allow_open": True}, "192.168.1.5:8002", True),
        (OPEN, "llm.example.com", True),
        (OPEN, "192.168.1.5:8002", True),
        ({**OPEN, "allowed_hosts": ["llm.example.com"]}, "other.example.com", False),
    ],
)
def test_host_names(server: dict[str, Any], host: str, served: bool) -> None:
    """A program is served under the names that are the router's own or configured."""
    assert refused(server, **{"HTTP_HOST": host}) == (None if served else "forbidden_host")


def test_a_page_under_a_name_without_a_dot_is_refused() -> None:
    """Such a name is for programs."""
    for mark in ({"HTTP_ORIGIN": "http://nas:8002"}, {"HTTP_SEC_FETCH_SITE": "same-origin"}):
        assert refused({}, HTTP_HOST="nas:8002", **mark) == "forbidden_host"
    assert refused({"allowed_hosts": ["nas"]}, HTTP_HOST="nas", HTTP_ORIGIN="http://nas") is None


@pytest.mark.parametrize("host", ["192.168.1.5:8002", "nas:8002", "nas.local:8002"])
def test_an_open_router_is_not_rebound(host: str) -> None:
    """On an open address pages of the router's own local names pass; by a public name only a listed
    one does."""
    same = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}"}
    assert refused(OPEN, **same) is None
    rebound = {"HTTP_HOST": "evil.example:8002", "HTTP_ORIGIN": "http://evil.example:8002"}
    assert refused(OPEN, **rebound) == "forbidden_host"
    assert refused({**OPEN, "allowed_hosts": ["evil.example"]}, **rebound) is None


def test_a_browsers_plain_get_under_a_public_name_is_refused() -> None:
    """It carries neither `Origin` nor `Sec-Fetch-Site`, only the browser's name."""
    browser = {"HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"}
    program = {"HTTP_USER_AGENT": "curl/8.5.0"}
    assert refused(OPEN, HTTP_HOST="evil.example:8002", **browser) == "forbidden_host"
    assert refused(OPEN, HTTP_HOST="evil.example:8002", **program) is None
    for host in ("192.168.1.5:8002", "nas:8002", "nas.local:8002"):
        assert refused(OPEN, HTTP_HOST=host, **browser) is None
    listed = {**OPEN, "allowed_hosts": ["llm.example.com"]}
    assert refused(listed, HTTP_HOST="llm.example.com", **browser) is None


@pytest.mark.parametrize(
    ("origin", "site", "served"),
    [
        ("http://127.0.0.1:8002", None, True),
        ("http://127.0.0.1:8002", "same-origin", True),
        ("http://127.0.0.1:8002", "cross-site", False),
        ("http://127.0.0.1", None, False),
        ("https://chat.example.com", "cross-site", True),
        ("https://chat.example.com:444", "cross-site", False),
        ("http://chat.example.com", "cross-site", False),
        ("app://desktop", "none", True),
        ("null", None, False),
        ("file://", None, False),
        ("", None, False),
        (None, "same-site", False),
        (None, "unheard-of", False),
        (None, "none", True),
    ],
)
def test_origins(origin: str | None, site: str | None, served: bool) -> None:
    """The router's own pages and the listed origins are served, no other."""
    server = {"cors_origins": ["https://chat.example.com", "app://desktop"]}
    sent = {"HTTP_HOST": "127.0.0.1:8002", "HTTP_ORIGIN": origin, "HTTP_SEC_FETCH_SITE": site}
    found = refused(server, **{k: v for k, v in sent.items() if v is not None})
    assert found == (None if served else "forbidden_origin")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_default_ports_may_be_left_out(scheme: str) -> None:
    port = {"http": 80, "https": 443}[scheme]
    server = {"allowed_hosts": ["llm.example.com"]}
    for host in ("llm.example.com", f"llm.example.com:{port}"):
        sent = {"HTTP_HOST": host, "HTTP_ORIGIN": f"{scheme}://llm.example.com"}
        assert refused(server, **sent) is None
