"""The objectives from outside: what is counted, kept and listed of real requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from harness import Stream, ask, body, eventually

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]
FAST = {"slo": {"every": 1}}
PRIMARY = "ai-router/primary"


def rows(router: RouterProcess, query: str) -> list[Any]:
    path = router.log_dir / "index.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            return []  # it is being made
        return connection.execute(query).fetchall()


def objectives(router: RouterProcess) -> dict[str, Any]:
    return {entry["slo"]: entry for entry in router.get("/metrics/summary").json()["objectives"]}


def alerts(router: RouterProcess) -> list[dict[str, Any]]:
    return list(router.get("/metrics/alerts").json()["alerts"])


def test_requests_become_rows_counts_and_a_summary(make_router: MakeRouter, sim: Simulator) -> None:
    router = make_router(FAST, warm=False)
    for _ in range(3):
        ask(router, "Hello there", model=PRIMARY)
    Stream(router, body("Hello there", model=PRIMARY)).read()
    router.post("/v1/chat/completions", {"messages": "none"})
    eventually(lambda: len(rows(router, "SELECT id FROM requests")) == 5)
    query = "SELECT reason, route, requested_model, backend, in_flight, attempts FROM requests"
    found = rows(router, query)
    assert found.count(("ok", "primary", PRIMARY, "primary", 0, 1)) == 4
    assert found.count(("client_invalid", "none", "none", None, None, 0)) == 1
    assert rows(router, "SELECT count(*) FROM requests WHERE own_ms < total_ms") == [(4,)]
    (streamed,) = rows(router, "SELECT backend_ttft_ms, gap_ms FROM requests WHERE stream")
    assert all(value is not None and value >= 0 for value in streamed)

    def counted() -> bool:
        said = objectives(router)
        return bool(said) and said["primary-not-slow"]["good"] == said["available"]["good"] == 4

    eventually(counted, 15)
    assert objectives(router)["available"]["target"] == 0.99
    assert router.metric("airouter_slo_events_total", slo="available", good="true") == 4
    assert router.metric("airouter_slo_events_total", slo="available", good="false") == 0
    assert router.metric("airouter_index_rows_total", event="written") == 5
    assert alerts(router) == []
    eventually(lambda: router.metric("airouter_error_budget_left", slo="available") == 1, 10)


def test_failures_raise_an_alert_and_those_of_a_test_do_not(
    make_router: MakeRouter, sim: Simulator
) -> None:
    router = make_router({**FAST, "backends": {"primary": {"breaker_fails": 1000}}})
    sim.fault("primary", "error_status", status=500)
    for _ in range(5):
        ask(router, "Hello there", model=PRIMARY, headers={"X-Router-Test": "storm"})
    eventually(lambda: len(rows(router, "SELECT id FROM requests WHERE test = 'storm'")) == 5, 10)
    assert router.metric("airouter_slo_events_total", slo="available", good="false") == 0
    for _ in range(5):
        ask(router, "Hello there", model=PRIMARY)
    eventually(lambda: len(alerts(router)) == 2, 15)
    critical = next(alert for alert in alerts(router) if alert["severity"] == "critical")
    assert critical["name"] == "AvailableBudgetBurn"
    assert (critical["state"], critical["priority"]) == ("firing", "P1")
    assert critical["budget_left"] < 0
    assert critical["runbook"].endswith("availability.md")
    eventually(lambda: any("Alert AvailableBudgetBurn is firing" in x for x in router.log()))
    labels = {"alert": "AvailableBudgetBurn", "severity": "critical"}
    eventually(lambda: router.metric("airouter_alert_state", **labels) == 2)


@pytest.mark.parametrize("path", ["/metrics/summary", "/metrics/alerts"])
def test_they_need_the_key_and_say_when_they_are_off(make_router: MakeRouter, path: str) -> None:
    router = make_router({"index": {"enabled": False}}, {"API_KEY": "a-key"})
    assert router.get(path).status_code == 401
    answer = router.get(path, headers={"Authorization": "Bearer a-key"})
    assert answer.status_code == 404
    assert "slo.enabled" in answer.json()["error"]["message"]


def test_probes_and_changes_of_a_backend_are_kept(make_router: MakeRouter, sim: Simulator) -> None:
    router = make_router({**FAST, "backends": {"primary": {"breaker_fails": 1}}})
    events = "SELECT DISTINCT backend, value FROM backend_events WHERE event = "
    sim.fault("primary", "error_status", status=500)
    ask(router, "Hello there", model=PRIMARY)
    eventually(lambda: ("primary", "open") in rows(router, f"{events} 'state'"), 10)
    eventually(lambda: ("router", "up") in rows(router, f"{events} 'probe'"), 40)


def test_readiness_is_timed(make_router: MakeRouter) -> None:
    router = make_router({"slo": {"profiles": ["003"]}})
    for _ in range(3):
        assert router.get("/health/readiness").status_code == 200
    assert router.metric("airouter_slo_events_total", slo="readiness-time") >= 3
