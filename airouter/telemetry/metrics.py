"""Prometheus metrics of everything that finished, and of values that live elsewhere. All names start with `airouter_`.

Label values come from the configuration and from fixed sets, never from a request.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    multiprocess,
    values,
)
from prometheus_client.exposition import choose_encoder

from airouter.types import ExchangeRecord

STAGE_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    20,
    30,
    60,
    120,
)
DECISION_BUCKETS = (
    1e-5,
    2.5e-5,
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
ABORT_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
FREED_BUCKETS = (*ABORT_BUCKETS, 2.5, 5)
MAX_SERIES = 2_000  # label combinations of one exchange; beyond them (a misconfiguration) all count as "other"
REFRESH_S = 2.0

# One value, or one per combination of label values (a bare string where there is one label).
Reading = float | Mapping[Any, float]
Mode = Literal["livesum", "livemax", "livemin", "sum", "max", "min"]


class _Children(dict[tuple[Any, ...], Any]):
    """A metric's children by label values, kept because `.labels()` costs more than the counting itself."""

    def __init__(self, metric: Counter | Histogram) -> None:
        super().__init__()
        self.metric = metric

    def __missing__(self, labels: tuple[Any, ...]) -> Any:
        if len(self) >= MAX_SERIES:
            return self.metric.labels(*("other" for _ in labels))
        child = self[labels] = self.metric.labels(*map(_text, labels))
        return child


def _text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label or "none")


class Metrics:
    """Sink and registry.

    With PROMETHEUS_MULTIPROC_DIR set when the program starts, all worker processes write there and any of them answers
    for all; gauges are summed over the living ones. Registered callbacks are then read every 2 s by a thread in each
    worker, which `start()` starts, because a scrape reaches only one of them.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # A `_created` series beside every counter would double what is scraped and tell nobody anything.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self._multiprocess = bool(getattr(values.ValueClass, "_multiprocess", False))
        self._readers: list[Callable[[], None]] = []
        self._reading = threading.Lock()
        self._refreshing_pid: int | None = None
        self.errors = 0
        self._where: dict[str, Any] = {"namespace": "airouter", "registry": self.registry}

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, **self._where)

        def histogram(
            name: str, documentation: str, buckets: Sequence[float], *labels: str
        ) -> Histogram:
            return Histogram(name, documentation, labels, buckets=buckets, **self._where)

        labels = ("route", "tier", "backend", "outcome", "stream")
        self._requests = _Children(counter("requests_total", "Finished exchanges.", *labels))
        self._stages = _Children(
            histogram("stage_duration_seconds", "Time per stage.", STAGE_BUCKETS, "stage", "route")
        )
        self._decision = _Children(
            histogram(
                "decision_seconds",
                "Time to a decision, by the tier that gave it.",
                DECISION_BUCKETS,
                "tier",
            )
        )
        self._ttft = _Children(
            histogram("ttft_seconds", "Request to first content.", STAGE_BUCKETS, "route")
        )
        self._speculation = _Children(
            counter("speculation_total", "Speculative starts, by how they ended.", "result")
        )
        self._sessions = _Children(
            counter("sessions_total", "Session files: written, dropped, failed.", "event")
        )
        self._abort = histogram(
            "speculation_abort_seconds",
            "Decision to the speculative call's socket shut.",
            ABORT_BUCKETS,
        )
        self._freed = histogram(
            "client_gone_freed_seconds", "Client gone to the backend's socket shut.", FREED_BUCKETS
        )
        self._wasted = counter(
            "speculation_wasted_tokens_total", "Tokens that cancelled speculation produced."
        )
        self._patience = counter(
            "patience_expired_total",
            "Decisions without the classifier, because a finished answer had waited long enough.",
        )
        in_flight = Gauge(
            "in_flight", "Exchanges under way.", multiprocess_mode="livesum", **self._where
        )
        self.in_flight_inc: Callable[[], None] = in_flight.inc
        self.in_flight_dec: Callable[[], None] = in_flight.dec

    def start(self) -> None:
        """In each worker, after the fork: its values are reported before its first request has
        ended."""
        if self._multiprocess and self._refreshing_pid != os.getpid():
            self._start_refreshing()

    def emit(self, record: ExchangeRecord) -> None:
        try:
            self._emit(record)
        except Exception:  # a sink must not raise
            self.errors += 1

    def _emit(self, record: ExchangeRecord) -> None:
        route = record.route
        self._requests[route, record.tier, record.backend, record.outcome, record.stream].inc()
        self._stages["total", route].observe(record.total_ms / 1000)
        if record.tier is not None:  # else it ended before anything classified it
            seconds = record.classification_ms / 1000
            self._stages["classification", route].observe(seconds)
            self._decision[record.tier,].observe(seconds)
            if record.tier == "patience":
                self._patience.inc()
        if record.enrichment_ms is not None:
            self._stages["enrichment", route].observe(record.enrichment_ms / 1000)
        if record.backend is not None:
            self._stages["inference", route].observe(record.inference_ms / 1000)
        if record.ttft_ms is not None:
            self._ttft[route,].observe(record.ttft_ms / 1000)
        if record.speculation is not None:
            self._speculation[record.speculation,].inc()
        if record.abort_ms is not None:
            self._abort.observe(record.abort_ms / 1000)
        if record.wasted_tokens > 0:
            self._wasted.inc(record.wasted_tokens)
        if record.client_gone_ms is not None:
            self._freed.observe(record.client_gone_ms / 1000)

    def session_event(self, event: str, count: int = 1) -> None:
        """Count session files: event is written, dropped or failed (`SessionLogger`'s `on_event`)."""
        self._sessions[event,].inc(count)

    def register_gauge(
        self,
        name: str,
        documentation: str,
        callback: Callable[[], Reading],
        labelnames: Sequence[str] = (),
        *,
        mode: Mode = "livesum",
    ) -> None:
        """A gauge whose value lives elsewhere: `backend_in_use` by `backend`, the state of a breaker, a queue's length.

        Args:
            callback: returns the present value(s); combinations it no longer returns read 0. When it raises, the last
                values stay.
            mode: how the values of several worker processes become one.
        """
        gauge = Gauge(name, documentation, labelnames, multiprocess_mode=mode, **self._where)
        known: dict[tuple[Any, ...], float] = {}

        def read() -> None:
            value = callback()
            if not isinstance(value, Mapping):
                gauge.set(value)
                return
            known.update(dict.fromkeys(known, 0.0))
            known.update(
                {key if isinstance(key, tuple) else (key,): number for key, number in value.items()}
            )
            for labels, number in known.items():
                gauge.labels(*labels).set(number)

        self._readers.append(read)

    def register_counter(
        self, name: str, documentation: str, callback: Callable[[], float]
    ) -> None:
        """A count kept elsewhere that only grows, such as the log's dropped lines (`log_dropped_total`)."""
        counter = Counter(name, documentation, **self._where)
        last = 0.0

        def read() -> None:
            nonlocal last
            value = float(callback())
            counter.inc(
                value - last if value >= last else value
            )  # smaller: a forked worker's count began anew
            last = value

        self._readers.append(read)

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """The exposition and its content type, for a request's `Accept` header."""
        self._read()
        registry = self.registry
        if self._multiprocess:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        encode, content_type = choose_encoder(accept or "")
        return encode(registry), content_type

    @staticmethod
    def process_gone(pid: int) -> None:
        """Forget a dead worker's gauges; for gunicorn's `child_exit` hook."""
        if getattr(values.ValueClass, "_multiprocess", False):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def _read(self) -> None:
        with self._reading:
            for read in self._readers:
                with suppress(Exception):  # one broken callback must not cost the other values
                    read()

    def _start_refreshing(self) -> None:
        self._refreshing_pid = os.getpid()
        threading.Thread(target=self._refresh, name="metrics", daemon=True).start()

    def _refresh(self) -> None:
        pause = threading.Event()
        while True:
            self._read()
            pause.wait(REFRESH_S)
