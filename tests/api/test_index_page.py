"""GET /: a page for browsers, JSON for programs; public, without secrets, and without cost."""

from __future__ import annotations

import re

import pytest
from harness import REFUSED, eventually

from bench.router_process import RouterProcess
from simulator.testing import Simulator

CHROME = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S).split())


def test_a_browser_gets_a_page_that_says_how_to_connect(router: RouterProcess) -> None:
    """Name, version, base URL, a curl command, endpoints and backends, in HTML without external
    requests."""
    answer = router.get("/", headers=CHROME)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = text_of(answer.text)
    version = router.get("/").json()["version"]
    for part in (
        f"Version {version}",
        f"{router.url}/v1",
        f"curl {router.url}/v1/chat/completions",
        "POST /v1/chat/completions",
        "GET /health",
        "not required",
    ):
        assert part in text, part
    assert "<script" not in answer.text
    assert "src=" not in answer.text


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/json, text/html;q=0.5", "text/*;q=0.1"]
)
def test_a_program_gets_json(router: RouterProcess, accept: str | None) -> None:
    """Clients that do not accept text/html explicitly get JSON."""
    answer = router.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert set(answer.json()) == {"name", "version", "model", "endpoints"}


def test_the_page_costs_no_backend_anything(make_router, sim: Simulator) -> None:
    """It is made from memory."""
    router = make_router(config={"probes": {"enabled": False}})

    def asked() -> int:
        return sum(
            sum(sim.stats(role)["by_path"].values()) for role in ("router", "primary", "xai")
        )

    before = asked()
    for _ in range(60):
        assert router.get("/", headers=CHROME).status_code == 200
    assert asked() - before < 20  # what runs by itself may ask now and then


def test_the_page_shows_who_is_up_but_no_secret(make_router, sim: Simulator) -> None:
    """Each backend's state; neither addresses nor keys, with a key configured or without one."""
    urls = {"router": REFUSED}
    router = make_router(env={"API_KEY": "front-door"}, urls=urls, warm=False)

    def states() -> dict[str, str]:
        page = router.get("/", headers=CHROME).text
        rows = re.findall(r"<tr><td>(\w+)</td><td>\w+</td><td><span[^>]*>([^<]*)<", page)
        return dict(rows)

    eventually(lambda: states() == {"router": "unreachable", "primary": "up", "xai": "up"})
    page = router.get("/", headers=CHROME).text
    assert "YOUR_API_KEY" in page
    for secret in ("front-door", "test-key", REFUSED, sim.url("primary"), sim.url("xai")):
        assert secret not in page


def test_a_host_cannot_put_anything_into_the_page(router: RouterProcess) -> None:
    """The page names the address by which it was reached, as text."""
    answer = router.get("/", headers={**CHROME, "Host": "x\"><b>'$(id)"})
    assert "<b>" not in answer.text
