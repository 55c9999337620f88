"""/metrics of a router with two workers: either reports for both, in both formats."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from harness import ask, eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bench.router_process import RouterProcess

REQUESTS = 12
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def samples(router: RouterProcess, name: str) -> list[Sample]:
    """Those of one name, from the OpenMetrics of the worker that answers."""
    answer = router.get("/metrics/", headers=OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(answer.text)  # checks the format
    return [sample for family in families for sample in family.samples if sample.name == name]


def total(router: RouterProcess, name: str) -> float:
    return sum(sample.value for sample in samples(router, name))


def test_what_workers_counted_outlives_them(make_router: Callable[..., RouterProcess]) -> None:
    """A worker adds its last sums when it stops, so nothing that was counted is lost."""
    router = make_router({"server": {"workers": 2}, "cascade": {"tiers": ["rules"]}})
    before = total(router, "airouter_requests_total")
    for _ in range(REQUESTS):
        assert ask(router, "Hello", model="ai-router/primary").status_code == 200
    stopped = set(router.workers)
    for worker in stopped:
        os.kill(worker, signal.SIGTERM)
    eventually(lambda: len(set(router.workers) - stopped) == 2, 30)
    counted = before + REQUESTS
    eventually(lambda: total(router, "airouter_request_reasons_total") == counted)
    assert total(router, "airouter_requests_total") == counted
    routes = {sample.labels["route"] for sample in samples(router, "airouter_own_seconds_count")}
    assert "primary" in routes
    models = samples(router, "airouter_requested_model_total")
    assert sum(s.value for s in models if s.labels["requested_model"] == "ai-router/primary") > 0
