"""/admin/*: for who is on this machine, or who has the key."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
import requests
from resilience_harness import admin, status

from bench.router_process import RouterProcess

KEY = {"Authorization": "Bearer admin-key"}
CALLS = [("POST", "drain"), ("POST", "reload"), ("POST", "events"), ("GET", "status")]


def call(router: RouterProcess, method: str, what: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, f"{router.url}/admin/{what}", headers=named, timeout=10)


def test_without_a_key_this_machine_may(chained: RouterProcess) -> None:
    """A caller on the loopback interface needs nothing."""
    assert status(chained)["draining"] is False
    assert admin(chained, "drain", {"draining": False}).status_code == 200


@pytest.mark.parametrize(("method", "what"), CALLS)
@pytest.mark.parametrize(
    "header",
    [
        "X_Forwarded_For",
        "X_Forwarded_Host",
        "X_Forwarded_Proto",
        "Forwarded",
        "X_Real_IP",
        "Via",
        "Origin",
    ],
)
def test_who_speaks_for_another_may_not(
    chained: RouterProcess, method: str, what: str, header: str
) -> None:
    """Without a key, requests through a local proxy or from a web page are refused."""
    answer = call(chained, method, what, **{header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("method", "what"), CALLS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "192.168.1.5:{port}",
        "127.0.0.1",
        "127.0.0.1:9",
        "localhost:80",
        "localhost.evil.example:{port}",
        "127.0.0.1:{port}:{port}",
        "",
    ],
)
def test_another_address_may_not(chained: RouterProcess, method: str, what: str, host: str) -> None:
    """A forwarded port, a rebound name: what was not addressed to the router's own loopback address
    is refused."""
    answer = call(chained, method, what, Host=host.format(port=chained.port))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_its_own_names_may(chained: RouterProcess, host: str) -> None:
    assert call(chained, "GET", "status", Host=f"{host}:{chained.port}").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
def test_a_page_may_not(chained: RouterProcess, site: str) -> None:
    """A GET from a page carries no Origin."""
    assert call(chained, "GET", "status", Sec_Fetch_Site=site).status_code == 403


def test_a_tcp_proxy_may_not(chained: RouterProcess) -> None:
    """It adds no header of its own and connects from this machine, but is addressed at its own
    port."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", chained.port)) as inner:
                back = threading.Thread(target=pump, args=(inner, client), daemon=True)
                back.start()
                pump(client, inner)
                back.join(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        headers = {"Connection": "close"}
        answer = requests.get(f"http://127.0.0.1:{port}/admin/status", headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        thread.join(10)


def test_with_a_key_it_is_needed(make_chain) -> None:
    """Once an admin key is set, every call needs it, from this machine too, and the callers' key is
    not it."""
    router = make_chain("primary", env={"ADMIN_KEY": "admin-key", "API_KEY": "api-key"})
    for method, what in CALLS:
        for wrong in (
            {},
            {"Authorization": "Bearer api-key"},
            {"Authorization": "Basic admin-key"},
            {"Authorization": "Bearer ädmin"},
        ):
            sent = {name: value.encode("utf-8") for name, value in wrong.items()}
            answer = requests.request(
                method, f"{router.url}/admin/{what}", headers=sent, timeout=10
            )
            assert answer.status_code == 401, (method, what, wrong)
    assert status(router, **KEY)["draining"] is False
    assert (
        admin(router, "drain", {"draining": True}, **KEY, X_Forwarded_For="10.0.0.1").status_code
        == 200
    )
    assert (
        requests.post(
            f"{router.url}/v1/chat/completions", json={}, headers=KEY, timeout=10
        ).status_code
        == 401
    )


def test_it_is_json_or_nothing(chained: RouterProcess) -> None:
    """What is not JSON, or not of the right type, is 400 and changes nothing."""
    for raw in (b"{", b"[]", b'{"draining": "yes"}'):
        assert requests.post(f"{chained.url}/admin/drain", data=raw, timeout=10).status_code == 400
    assert status(chained)["draining"] is False
    assert call(chained, "GET", "drain").status_code == 405
    assert call(chained, "GET", "nothing").status_code == 404
