"""/admin/*: for who is on this machine, or who has the key."""

from __future__ import annotations

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
    """A proxy on this machine forwards for anybody, and a browser for any page: without a key they are refused."""
    answer = call(chained, method, what, **{header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_with_a_key_it_is_needed(make_chain) -> None:
    """Once an admin key is set, every call needs it, from this machine too, and the callers' key is not it."""
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
