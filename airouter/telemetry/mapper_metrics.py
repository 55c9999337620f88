"""The metrics of the mapper (POST /map), under the names that seed 002's queries and alerts use."""

import math
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds; 0.12, 0.2 and 0.25 are the thresholds of its objectives and alerts.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)


class MapperMetrics:
    """Declared with the router's own; the mapper feeds them. Without a request, the percentages are
    NaN, which no alert takes for a bad value."""

    def __init__(self, registry: CollectorRegistry) -> None:
        common: dict[str, Any] = {"namespace": "mapper", "registry": registry}
        recent: dict[str, Any] = {**common, "multiprocess_mode": "mostrecent"}
        self.requests = Counter("requests_total", "Mappings.", ("detector", "status"), **common)
        self.duration = Histogram(
            "request_duration_seconds",
            "Duration of a mapping.",
            ("detector",),
            buckets=_BUCKETS,
            **common,
        )
        self.validation = Counter(
            "schema_validation_total",
            "Outputs of the model, by whether they were valid at first.",
            ("detector", "valid"),
            **common,
        )
        self.fallback = Counter(
            "fallback_total", "Mappings by the rules, by reason.", ("detector", "reason"), **common
        )
        self.valid_percentage = Gauge(
            "schema_valid_percentage", "Share of valid outputs, in percent.", **recent
        )
        self.fallback_percentage = Gauge(
            "fallback_percentage", "Share of mappings by the rules, in percent.", **recent
        )
        for percentage in (self.valid_percentage, self.fallback_percentage):
            percentage.set(math.nan)
