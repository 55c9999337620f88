"""The mapper's metrics under the names of seed 002."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from airouter.telemetry.mapper_metrics import MapperMetrics


def samples(registry: CollectorRegistry) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_without_traffic_no_percentage_is_bad() -> None:
    registry = CollectorRegistry()
    MapperMetrics(registry)
    found = samples(registry)
    assert math.isnan(found["mapper_schema_valid_percentage"])
    assert math.isnan(found["mapper_fallback_percentage"])
    assert set(found) == {"mapper_schema_valid_percentage", "mapper_fallback_percentage"}


def test_the_names_and_labels_of_the_seed() -> None:
    registry = CollectorRegistry()
    metrics = MapperMetrics(registry)
    metrics.requests.labels("d", "success").inc()
    metrics.duration.labels("d").observe(0.19)
    metrics.validation.labels("d", "true").inc()
    metrics.fallback.labels("d", "kill_switch").inc()
    text = generate_latest(registry).decode()
    assert 'mapper_requests_total{detector="d",status="success"} 1.0' in text
    assert 'mapper_schema_validation_total{detector="d",valid="true"} 1.0' in text
    assert 'mapper_fallback_total{detector="d",reason="kill_switch"} 1.0' in text
    for bound in ("0.12", "0.2", "0.25"):  # those of its objectives and alerts
        assert f'mapper_request_duration_seconds_bucket{{detector="d",le="{bound}"}}' in text
