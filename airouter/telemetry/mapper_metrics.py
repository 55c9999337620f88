"""The metrics of the mapper (POST /map), under the names that seed 002's queries and alerts use."""

import math
import threading
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airouter.telemetry.children import CounterSums, HistogramSums

# Seconds; 0.12, 0.2 and 0.25 are the thresholds of its objectives and alerts.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)


class MapperMetrics:
    """Declared with the router's own; the mapper feeds them. Without a request, the percentages are
    NaN, which no alert takes for a bad value.

    What is counted is added to the metrics by `flush()`. Mutable state: the sums until then, and
    those since the start, of which the percentages are; under a lock.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        common: dict[str, Any] = {"namespace": "mapper", "registry": registry}
        recent: dict[str, Any] = {**common, "multiprocess_mode": "mostrecent"}
        self.requests = Counter("requests_total", "Mappings.", ("detector", "status"), **common)
        self.duration = Histogram(
            "request_duration_seconds",
            "Duration of a mapping.",
            ("detector",),
            buckets=BUCKETS,
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
        self._lock = threading.Lock()
        self._requests, self._fallbacks = CounterSums(self.requests), CounterSums(self.fallback)
        self._validations = CounterSums(self.validation)
        self._durations = HistogramSums(self.duration, BUCKETS)
        self._total = self._fallen_back = self._validated = self._valid = 0

    def count(
        self,
        detector: str,
        status: str,
        *,
        seconds: float | None = None,
        valid: bool | None = None,
        fallback: str | None = None,
    ) -> None:
        """Count one request.

        Args:
            seconds: that it took; None: it was not mapped, or answered from an earlier one.
            valid: whether the model's output was valid as it came; None: there was none.
            fallback: why the rules mapped instead of the model.
        """
        with self._lock:
            self._requests[detector, status][0] += 1
            self._total += 1
            if seconds is not None:
                self._durations.observe(seconds * 1000, detector)
            if valid is not None:
                self._validations[detector, valid][0] += 1
                self._validated += 1
                self._valid += valid
            if fallback is not None:
                self._fallbacks[detector, fallback][0] += 1
                self._fallen_back += 1

    def flush(self) -> None:
        """Add what has been counted to the metrics."""
        for sums in (self._requests, self._fallbacks, self._validations, self._durations):
            sums.add(sums.take(self._lock))
        if self._total:
            self.fallback_percentage.set(100 * self._fallen_back / self._total)
        if self._validated:
            self.valid_percentage.set(100 * self._valid / self._validated)
