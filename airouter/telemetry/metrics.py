"""The registry of Prometheus metrics: those of finished requests (`request_metrics.py`), and those
read by callbacks. All names start with `airouter_`.

Label values come from the configuration and from fixed sets, never from a request.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
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

from airouter.domain.types import ExchangeRecord
from airouter.settings.backends import BackendSettings
from airouter.telemetry.children import Children
from airouter.telemetry.exposition import Exposition
from airouter.telemetry.request_metrics import RequestMetrics

REFRESH_S = 2.0

# One value, or one per combination of label values (a plain string if there is one label).
Reading = float | Mapping[Any, float]
Mode = Literal["livesum", "livemax", "livemin", "sum", "max", "min"]


class Metrics:
    """Sink and registry.

    With PROMETHEUS_MULTIPROC_DIR set at startup, all worker processes write their metrics there,
    and each reports for all; gauges are summed over live workers. Callbacks are then read every 2 s
    by a thread in each worker, started by `start()`, because a scrape reaches only one worker; so
    what the other workers count in sums shows up to 2 s late.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # `_created` series would double the number of series without useful information.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self._multiprocess = bool(getattr(values.ValueClass, "_multiprocess", False))
        self._exposition = Exposition()
        self._readers: list[Callable[[], None]] = []
        self._reading = threading.Lock()
        self._refreshing_pid: int | None = None
        self.errors = 0
        self._common: dict[str, Any] = {"namespace": "airouter", "registry": self.registry}

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, **self._common)

        def histogram(
            name: str, documentation: str, *labels: str, buckets: Sequence[float]
        ) -> Histogram:
            return Histogram(name, documentation, labels, buckets=buckets, **self._common)

        self._finished = RequestMetrics(counter, histogram)
        self._readers.append(self._finished.flush)
        self._sessions = Children(
            counter("sessions_total", "Session files written, dropped or failed.", "event")
        )
        in_flight = Gauge(
            "in_flight", "Requests in flight.", multiprocess_mode="livesum", **self._common
        )
        self.in_flight_inc: Callable[[], None] = in_flight.inc
        self.in_flight_dec: Callable[[], None] = in_flight.dec

    def price_by(self, settings_of: Callable[[str], BackendSettings | None]) -> None:
        """Say what the current settings of a backend are, by its name: whether it is local, and its
        prices."""
        self._finished.settings_of = settings_of

    def start(self) -> None:
        """Start reporting; called in each worker after the fork."""
        if self._multiprocess and self._refreshing_pid != os.getpid():
            self._start_refreshing()

    def close(self) -> None:
        """Add what has been counted since the last reading; a worker calls it when it stops."""
        self._read()

    def emit(self, record: ExchangeRecord) -> None:
        """Count a finished exchange; failures are counted in `errors`."""
        try:
            self._finished.count(record)
        except Exception:  # a sink must not raise
            self.errors += 1

    def session_event(self, event: str, count: int = 1) -> None:
        """Count session files: event is written, dropped or failed (`SessionLogger`'s
        `on_event`)."""
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
        """Register a gauge read by a callback, such as `backend_in_use` by `backend`.

        Args:
            callback: returns the current value(s); combinations that it no longer returns become
                0. If it raises, the last values remain.
            mode: how the values of several worker processes are combined.
        """
        gauge = Gauge(name, documentation, labelnames, multiprocess_mode=mode, **self._common)
        known: dict[tuple[Any, ...], float] = {}

        def read() -> None:
            values = _by_labels(callback())
            known.update(dict.fromkeys(known, 0.0))
            known.update(values)
            for labels, number in known.items():
                (gauge.labels(*labels) if labels else gauge).set(number)

        self._readers.append(read)

    def register_counter(
        self,
        name: str,
        documentation: str,
        callback: Callable[[], Reading],
        labelnames: Sequence[str] = (),
    ) -> None:
        """Register a counter read by a callback, such as `log_dropped_total`.

        Args:
            callback: returns the count(s) so far. One that is smaller than before has started
                again, in a forked worker or with a new configuration.
        """
        counter = Counter(name, documentation, labelnames, **self._common)
        last: dict[tuple[Any, ...], float] = {}

        def read() -> None:
            for labels, value in _by_labels(callback()).items():
                before = last.get(labels, 0.0)
                child = counter.labels(*labels) if labels else counter
                child.inc(value - before if value >= before else value)
                last[labels] = value

        self._readers.append(read)

    def read_from(self, flush: Callable[[], None]) -> None:
        """Call `flush` before the metrics are read: it adds to them what it has counted."""
        self._readers.append(flush)

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """The exposition and its content type, for a request's `Accept` header."""
        self._read()
        content_type = choose_encoder(accept or "")[1]
        openmetrics = content_type.startswith("application/openmetrics-text")
        if self._multiprocess:
            folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
            return self._exposition.of_workers(folder, openmetrics=openmetrics), content_type
        return self._exposition.of_registry(self.registry, openmetrics=openmetrics), content_type

    @staticmethod
    def process_gone(pid: int) -> None:
        """Remove the gauges of a dead worker; for gunicorn's `child_exit` hook."""
        if getattr(values.ValueClass, "_multiprocess", False):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def _read(self) -> None:
        with self._reading:
            for read in self._readers:
                with suppress(Exception):  # one failing callback must not affect the others
                    read()

    def _start_refreshing(self) -> None:
        self._refreshing_pid = os.getpid()
        threading.Thread(target=self._refresh, name="metrics", daemon=True).start()

    def _refresh(self) -> None:
        never = threading.Event()
        while True:
            self._read()
            never.wait(REFRESH_S)


def _by_labels(reading: Reading) -> dict[tuple[Any, ...], float]:
    """Numbers by label values; of a metric without labels, the one of ()."""
    if not isinstance(reading, Mapping):
        return {(): float(reading)}
    return {key if isinstance(key, tuple) else (key,): float(n) for key, n in reading.items()}
