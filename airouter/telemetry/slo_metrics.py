"""Metrics of the objectives, and of the index of requests."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from airouter.telemetry.mapper_metrics import MapperMetrics

_STATES = {"pending": 1.0, "firing": 2.0, "resolved": 0.0}


class SloMetrics:
    """Mutable state: the alerts published last. `event` may be called by any thread.

    Args:
        objectives: names; their counters begin at 0, so that the first event is seen as one.
    """

    def __init__(self, registry: CollectorRegistry, objectives: Iterable[str]) -> None:
        common: dict[str, Any] = {"namespace": "airouter", "registry": registry}
        events = Counter("slo_events_total", "Events by objective.", ("slo", "good"), **common)
        self._events = {
            (name, good): events.labels(name, str(good).lower())
            for name in objectives
            for good in (True, False)
        }
        self._index = Counter(
            "index_rows_total", "Rows of the index of requests.", ("event",), **common
        )
        # One worker evaluates; another one's value is older.
        recent: dict[str, Any] = {**common, "multiprocess_mode": "livemostrecent"}
        self._alert = Gauge(
            "alert_state",
            "Alerts: 0 none, 1 pending, 2 firing.",
            ("alert", "severity", "slo"),
            **recent,
        )
        self._left = Gauge(
            "error_budget_left", "Part of the error budget that is left.", ("slo",), **recent
        )
        self.mapper = MapperMetrics(registry)
        self._known: set[tuple[str, str, str]] = set()

    def event(self, slo: str, good: bool) -> None:
        counter = self._events.get((slo, good))
        if counter is not None:
            counter.inc()

    def index_event(self, event: str, count: int) -> None:
        if count:
            self._index.labels(event).inc(count)

    def publish(self, alerts: list[dict[str, Any]], budgets: Mapping[str, float]) -> None:
        """After an evaluation."""
        now = {(a["name"], a["severity"], a["slo"]): _STATES[a["state"]] for a in alerts}
        for labels in self._known - now.keys():
            self._alert.labels(*labels).set(0)
        for labels, value in now.items():
            self._alert.labels(*labels).set(value)
        self._known |= now.keys()
        for slo, left in budgets.items():
            self._left.labels(slo).set(left)
