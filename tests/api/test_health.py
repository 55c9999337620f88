"""GET /health and related endpoints report the state of backends in bounded time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from harness import REFUSED, eventually

from bench.router_process import RouterProcess
from simulator.testing import Simulator


def health(router: RouterProcess) -> dict[str, Any]:
    answer = router.get("/health")
    body: dict[str, Any] = answer.json()
    return {**body, "code": answer.status_code}


def test_all_is_well(router: RouterProcess, sim: Simulator) -> None:
    """With every backend up the status is healthy, and checking has cost no generation."""
    told = health(router)
    assert (told["code"], told["status"]) == (200, "healthy")
    assert (told["router_model"], told["primary_model"], told["xai_model"]) == ("healthy",) * 3
    assert sum(sim.stats(role)["started"] for role in sim.roles) == 0
    eventually(
        lambda: any(
            " - INFO - Health check: status=healthy duration_ms=" in line for line in router.log()
        )
    )


def test_a_dead_classifier_degrades(make_router, sim: Simulator) -> None:
    """Without the classifier the router still serves: degraded, 200."""
    router = make_router(urls={"router": REFUSED})
    told = health(router)
    assert (told["code"], told["status"], told["router_model"]) == (200, "degraded", "unhealthy")


def test_a_dead_default_route_is_unhealthy(make_router, sim: Simulator) -> None:
    """Without a backend for the default route the router cannot do its job: unhealthy, 503."""
    router = make_router(urls={"primary": REFUSED}, warm=False)
    told = health(router)
    assert (told["code"], told["status"], told["primary_model"]) == (503, "unhealthy", "unhealthy")


def test_without_a_cloud_key_the_cloud_is_not_mentioned(make_router, sim: Simulator) -> None:
    """A cloud without a key is no part of the router's health."""
    told = health(make_router(env={"XAI_API_KEY": ""}))
    assert "xai_model" not in told
    assert told["status"] == "healthy"


def test_backends_that_hang_cost_one_bounded_wait_together(make_router, sim: Simulator) -> None:
    """However many backends hang or trickle, all who ask share one answer at the limit, and
    liveness answers meanwhile."""
    router = make_router(config={"timeouts": {"health": 1.0}, "probes": {"enabled": False}})
    for role, fault in (("router", "hang"), ("primary", "hang_headers"), ("xai", "hang")):
        sim.fault(
            role, fault, path="*", **({"interval_ms": 100} if fault == "hang_headers" else {})
        )
    told: list[dict[str, Any]] = []
    asked_before = [
        sum(sim.stats(role)["by_path"].values()) for role in ("router", "primary", "xai")
    ]
    started = time.monotonic()
    callers = [threading.Thread(target=lambda: told.append(health(router))) for _ in range(6)]
    for caller in callers:
        caller.start()
    time.sleep(0.3)
    assert router.get("/health/liveness").json() == {"status": "alive"}
    assert not told
    for caller in callers:
        caller.join(10)
    assert 0.9 < time.monotonic() - started < 3
    assert [(answer["code"], answer["status"]) for answer in told] == [(503, "unhealthy")] * 6
    asked = [sum(sim.stats(role)["by_path"].values()) for role in ("router", "primary", "xai")]
    # Not once per caller; what other routers' background probes ask is counted here too.
    assert all(after - before <= 3 for after, before in zip(asked, asked_before, strict=True))
    sim.clear_faults()
    assert health(router)["status"] == "healthy"


def test_the_limit_cannot_be_set_beyond_five_seconds(make_router, sim: Simulator) -> None:
    """Five seconds is the hard limit, whatever the configuration says."""
    with pytest.raises(RuntimeError, match=r"timeouts\.health"):
        make_router(config={"timeouts": {"health": 6}})


def test_readiness_comes_from_memory(router: RouterProcess, sim: Simulator) -> None:
    """Readiness asks no backend."""
    before = sim.stats("primary")["by_path"].get("/health", 0)
    for _ in range(20):
        assert router.get("/health/readiness").status_code == 200
    assert sim.stats("primary")["by_path"].get("/health", 0) - before <= 2


def test_the_front_page_lists_what_there_is(router: RouterProcess) -> None:
    """GET / names the endpoints, and none of them is missing."""
    page = router.get("/").json()
    assert page["name"] == "ai-router"
    for endpoint in (
        "/health",
        "/health/liveness",
        "/health/readiness",
        "/stats",
        "/metrics",
        "/v1/models",
    ):
        assert any(endpoint in name for name in page["endpoints"])
        assert router.get(endpoint).status_code == 200


def test_metrics_are_prometheus_text(router: RouterProcess) -> None:
    """/metrics and /metrics/ give the same names in Prometheus' text format."""
    for path in ("/metrics", "/metrics/"):
        open_metrics = router.get(path, headers={"Accept": "application/openmetrics-text"})
        assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text")
        assert open_metrics.text.endswith("# EOF\n")
        answer = router.get(path)
        assert answer.headers["Content-Type"].startswith("text/plain")
        for name in (
            "airouter_requests_total",
            "airouter_in_flight",
            "airouter_backend_in_use",
            "airouter_stage_duration_seconds_bucket",
        ):
            assert name in answer.text
