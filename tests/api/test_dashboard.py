"""The dashboard's pages, over real sockets: sign-in, what is shown to whom, and that it says the
same as /metrics, the index and the session files."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
import requests
from harness import REFUSED, Stream, ask, body, error_of, eventually, steer

from bench.router_process import RouterProcess

MakeRouter = Callable[..., RouterProcess]
KEYS = {"API_KEY": "the-api-key", "ADMIN_KEY": "the-admin-key"}
PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Browser:
    """A browser without a screen."""

    def __init__(self, router: RouterProcess) -> None:
        self.url = router.url
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.http.get(self.url + path, timeout=20, **options)

    def post(self, path: str, data: dict[str, str], **options: Any) -> requests.Response:
        return self.http.post(
            self.url + path, data=data, timeout=20, allow_redirects=False, **options
        )

    def token(self, path: str = "/dashboard/sign-in") -> str:
        page = self.get(path).text
        found = re.search(r'name="csrf" (?:value|content)="([0-9a-f]{64})"', page)
        assert found, page
        return found[1]

    def sign_in(self, key: str) -> requests.Response:
        return self.post("/dashboard/sign-in", {"key": key, "csrf": self.token()})


def events(router: RouterProcess, **options: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, data) of each event of the page."""
    path = f"/dashboard/events?window={options.pop('window', 900)}"
    with router.get(path, stream=True, **options) as answer:
        assert answer.status_code == 200, answer.text
        kept = b""
        for piece in answer.iter_content(None):
            *whole, kept = (kept + piece).split(b"\n\n")
            for event in whole:
                if event.startswith(b"event: "):
                    name, _, data = event.removeprefix(b"event: ").partition(b"\ndata: ")
                    yield name.decode(), orjson.loads(data)


def until(
    router: RouterProcess, wanted: str, met: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """The first event of a name that meets a condition."""
    for number, (name, data) in enumerate(events(router)):
        if name == wanted and met(data):
            return data
        assert number < 120, data
    raise AssertionError("the stream ended")


@pytest.fixture
def open_router(make_router: MakeRouter) -> RouterProcess:
    return make_router({"server": {"workers": 2}, "slo": {"every": 1}}, warm=False)


@pytest.fixture
def locked(make_router: MakeRouter) -> RouterProcess:
    return make_router(env=KEYS, warm=False)


def test_the_page_and_its_files(open_router):
    page = open_router.get("/dashboard")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    linked = set(re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', page.text))
    assert any("uPlot" in name for name in linked)
    for name in linked:
        assert open_router.get(name).status_code == 200, name
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text), "a foreign host"
    assert not re.search(r" style=| on\w+=|<script>", page.text), "the policy would refuse it"
    assert "href=/dashboard" in open_router.get("/", headers={"Accept": "text/html"}).text


def test_the_same_numbers_as_metrics_index_and_session_files(open_router, sim):
    router: RouterProcess = open_router
    for number in range(4):
        ask(router, f"Hello {number}", model="ai-router/primary")
    Stream(router, body("Hello", model="ai-router/primary")).read()
    ask(router, steer("Prove it"), model="ai-router/xai")
    ask(router, steer("Hi", router={"label": "SIMPLE"}))
    sim.fault("primary", "error_status", status=500, times=2)  # it is asked again, once
    ask(router, "Broken", model="ai-router/primary")
    router.post("/v1/chat/completions", {"messages": "none"})
    shown = until(router, "history", lambda data: data["overview"]["requests"] == 9)
    overview = shown["overview"]
    with closing(sqlite3.connect(router.log_dir / "index.sqlite")) as connection:
        rows = connection.execute("SELECT outcome, backend, attempts FROM requests").fetchall()
    assert overview["requests"] == len(rows) == 9
    assert overview["ok"] == sum(outcome == "ok" for outcome, *_ in rows)
    assert overview["cloud"] == sum(backend == "xai" for _, backend, _ in rows) >= 1
    assert overview["failovers"] == sum(attempts > 1 for *_, attempts in rows) >= 1
    assert router.metric("airouter_requests_total") == 9
    assert router.metric("airouter_requests_total", outcome="ok") == overview["ok"]
    for route in shown["routes"]:
        counted = router.metric("airouter_requests_total", route=route["route"])
        assert counted == route["requests"]
    files = list((router.log_dir / "sessions").glob("*.json"))
    assert len(files) == 8, "one was refused before it was read"
    (fallback,) = shown["fallbacks"][:1]
    said = next(orjson.loads(f.read_bytes()) for f in files if fallback["id"][:8] in f.name)
    assert fallback["attempts"] == said["attempts"]
    assert len(fallback["attempts"]) > 1
    assert shown["economics"]["speculation"]["won"] == router.metric(
        "airouter_speculation_total", result="won"
    )

    def evaluated(data: dict[str, Any]) -> bool:
        counted = {one["slo"]: one["good"] + one["bad"] for one in data["objectives"]}
        return counted.get("available") == 8  # all but the client's mistake

    budgets = until(router, "objectives", evaluated)
    summary = {one["slo"]: one for one in router.get("/metrics/summary").json()["objectives"]}
    shown_of = {one["slo"]: one for one in budgets["objectives"]}
    for slo in ("available", "primary-not-slow"):  # others count probes, which go on
        for name in ("good", "bad", "budget_left"):
            assert shown_of[slo][name] == summary[slo][name]


def test_requests_in_flight_of_all_workers(open_router, sim):
    router: RouterProcess = open_router
    text = steer("A long one", primary={"tokens": 800, "tps": 20})
    streams = [Stream(router, body(text, model="ai-router/primary")) for _ in range(4)]
    try:
        seen = until(
            router,
            "live",
            lambda data: (
                (data["in_flight_total"], data["workers"]) == (4, 2)
                and all(one["phase"] == "answering" for one in data["in_flight"])
            ),
        )
        assert {one["backend"] for one in seen["in_flight"]} == {"primary"}
        assert sum(one["in_use"] for one in seen["backends"] if one["name"] == "primary") == 4
        assert {one["id"] for one in seen["in_flight"]} == {
            stream.headers["X-Router-Session"] for stream in streams
        }
    finally:
        for stream in streams:
            stream.close()
    until(router, "live", lambda data: data["in_flight_total"] == 0)


def test_a_backend_that_is_down(make_router):
    router = make_router({"queue": {"hold_wait": 0.3}}, urls={"primary": REFUSED}, warm=False)
    for _ in range(6):
        ask(router, "Hello", model="ai-router/primary")
    seen = until(
        router,
        "live",
        lambda data: any(not one["good"] for one in data["backends"] if one["name"] == "primary"),
    )
    (primary,) = (one for one in seen["backends"] if one["name"] == "primary")
    assert primary["state"] in ("down", "open", "cooling")
    shown = until(router, "history", lambda data: data["overview"]["failed"] == 6)
    assert {one["text"] for one in shown["errors"]} == {
        *("upstream_unreachable", "backend_unavailable"),
    }


def test_a_request_in_detail_and_planted_markup(open_router):
    session = ask(open_router, PLANTED, model="ai-router/primary").headers["X-Router-Session"]
    found = eventually(
        lambda: open_router.get(f"/dashboard/requests?id={session}").json()["requests"]
    )
    answer = eventually(
        lambda: (
            (one := open_router.get(f"/dashboard/requests/{found[0]['id']}")).json()["file"] and one
        )
    )
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["messages"][0]["text"] == PLANTED
    assert answer.json()["content"] == "shown"  # from this machine, where no admin key is set
    assert {one["kind"] for one in answer.json()["timeline"]} >= {"attempt", "total"}
    refused = open_router.get("/dashboard/requests?window=1")
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_filter")
    missing = open_router.get("/dashboard/requests/" + "f" * 32)
    assert (missing.status_code, error_of(missing)["code"]) == (404, "unknown_request")


def test_signing_in(locked):
    browser = Browser(locked)
    page = browser.get("/dashboard", allow_redirects=False)
    assert (page.status_code, page.headers["Location"]) == (303, "/dashboard/sign-in")
    for path in ("/dashboard/requests", "/dashboard/events", "/dashboard/requests/" + "a" * 32):
        assert error_of(browser.get(path))["code"] == "invalid_api_key"
    assert browser.sign_in("wrong").status_code == 401
    refused = "Sign-in to the dashboard refused: client=127.0.0.1"
    eventually(lambda: any(refused in line for line in locked.log()))
    assert not any("wrong" in line for line in locked.log())
    signed = browser.sign_in(KEYS["API_KEY"])
    assert (signed.status_code, signed.headers["Location"]) == (303, "/dashboard")
    assert {"HttpOnly", "SameSite=Strict"} <= set(signed.headers["Set-Cookie"].split("; "))
    assert browser.get("/dashboard").status_code == 200
    assert browser.get("/dashboard/requests").status_code == 200
    out = browser.post("/dashboard/sign-out", {"csrf": browser.token("/dashboard")})
    assert out.status_code == 303
    assert browser.get("/dashboard/requests").status_code == 401


def test_without_the_token_nothing_changes(locked):
    browser = Browser(locked)
    browser.token()
    stolen = Browser(locked).token()
    for token in ("", "0" * 64, stolen):
        answer = browser.post("/dashboard/sign-in", {"key": KEYS["API_KEY"], "csrf": token})
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers or "viewer" not in answer.headers["Set-Cookie"]
    assert browser.get("/dashboard/requests").status_code == 401
    browser.sign_in(KEYS["API_KEY"])
    for token in ("", stolen):
        answer = browser.post("/dashboard/sign-out", {"csrf": token})
        assert error_of(answer)["code"] == "invalid_csrf_token"
    assert browser.get("/dashboard/requests").status_code == 200
    evil = {"Origin": "https://evil.example"}
    answer = browser.post(
        "/dashboard/sign-out", {"csrf": browser.token("/dashboard")}, headers=evil
    )
    assert answer.status_code == 403


def test_messages_need_the_admin_key(locked):
    bearer = {"Authorization": f"Bearer {KEYS['API_KEY']}"}
    answer = ask(locked, "A secret question", model="ai-router/primary", headers=bearer)
    session = answer.headers["X-Router-Session"]
    browser = Browser(locked)
    browser.sign_in(KEYS["API_KEY"])

    def detail() -> dict[str, Any]:
        return dict(browser.get(f"/dashboard/requests/{session}").json())

    eventually(lambda: detail().get("file"))
    assert detail()["content"] == "needs_admin"
    assert "A secret question" not in str(detail())
    browser.sign_in(KEYS["ADMIN_KEY"])
    assert detail()["content"] == "shown"
    assert detail()["messages"][0]["text"] == "A secret question"
    # Programs send the key itself.
    direct = locked.get(f"/dashboard/requests/{session}", headers=bearer)
    assert direct.json()["content"] == "needs_admin"


def test_messages_that_are_not_kept(make_router):
    router = make_router(env={"CONTENT_LOGGING": "off"}, warm=False)
    session = ask(router, "Hello", model="ai-router/primary").headers["X-Router-Session"]
    found = eventually(
        lambda: (one := router.get(f"/dashboard/requests/{session}").json()).get("file") and one
    )
    assert (found["content"], found["messages"]) == ("off", [])
    assert "CONTENT_LOGGING" in found["content_hint"]


def test_strangers_cannot_fill_the_memory(locked):
    for path in ("/dashboard/sign-in", "/dashboard/sign-out", "/admin/drain"):
        answer = locked.post(path, data=b"x" * 3_000_000)
        assert (answer.status_code, error_of(answer)["code"]) == (413, "request_too_large"), path
        assert "1 MB." in error_of(answer)["message"]


def test_other_sites_cannot_look(open_router):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example", "User-Agent": "Mozilla/5.0"},
    ):
        for path in ("/dashboard", "/dashboard/events", "/dashboard/requests"):
            assert open_router.get(path, headers=headers).status_code == 403, (path, headers)
