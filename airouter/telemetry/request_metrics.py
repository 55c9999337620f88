"""Counts a finished request beside `Metrics.emit`: why it ended, its tokens and cost, retries and
failovers, and where its time went.

Label values come from the configuration and from fixed sets, never from a request.
"""

import threading
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Histogram

from airouter.domain.types import ExchangeRecord
from airouter.settings.backends import BackendSettings, Price
from airouter.telemetry.children import CounterSums, HistogramSums
from airouter.telemetry.derived import own_ms, tokens_of

# Upper bounds in seconds. Every limit in config/slo/ is a bound of the histogram that shows it.
OWN_BUCKETS = (5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
QUEUE_BUCKETS = (1e-3, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONNECT_BUCKETS = (1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
FIRST_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 3.0, 4.0, 6.0, 12.0, 30.0, 120.0)
GAP_BUCKETS = (1e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)

_SERVED = ("ok", "continued")  # results of an attempt that gave the client an answer


class RequestMetrics:
    """Mutable state: what has been counted since the last `flush()`; guarded by one lock.

    Args:
        counter, histogram: register a metric: name, documentation (buckets), labels.
    """

    def __init__(
        self,
        counter: Callable[..., Counter],
        histogram: Callable[..., Histogram],
    ) -> None:
        self._lock = threading.Lock()
        # The settings of a backend by its name; set once they are known.
        self.settings_of: Callable[[str], BackendSettings | None] = lambda _name: None

        def counts(name: str, documentation: str, *labels: str) -> CounterSums:
            return CounterSums(counter(name, documentation, *labels))

        def times(
            name: str, documentation: str, buckets: Sequence[float], *labels: str
        ) -> HistogramSums:
            return HistogramSums(histogram(name, documentation, buckets, *labels), tuple(buckets))

        self._reasons = counts(
            "request_reasons_total", "Finished requests, by why they ended.", "reason", "route"
        )
        self._models = counts(
            "requested_model_total",
            "Finished requests, by the model that the client named.",
            "requested_model",
            "backend",
        )
        self._tokens = counts(
            "tokens_total", "Tokens, as stated by the backend.", "backend", "kind"
        )
        self._failovers = counts(
            "failovers_total",
            "Requests that another backend answered than the one asked first.",
            "from_backend",
            "to_backend",
        )
        self._retries = counts("retries_total", "Attempts that were repeated.", "backend")
        self._cost = counts("cost_dollars_total", "Cost of the tokens, by `price`.", "backend")
        self._gpu = counts(
            "gpu_seconds_total", "Inference time of local backends, in seconds.", "backend"
        )
        self._queue = times("queue_wait_seconds", "Wait for a slot.", QUEUE_BUCKETS, "backend")
        self._connect = times(
            "connect_seconds",
            "Time from calling the backend to the headers of a stream.",
            CONNECT_BUCKETS,
            "backend",
        )
        self._first = times(
            "backend_ttft_seconds",
            "Time from sending the request to a backend to its first content.",
            FIRST_BUCKETS,
            "backend",
        )
        self._gap = times(
            "gap_seconds", "Mean time between two contents of a stream.", GAP_BUCKETS, "backend"
        )
        self._own = times(
            "own_seconds", "The router's own part of a request's time.", OWN_BUCKETS, "route"
        )
        self._all = (
            *(self._reasons, self._models, self._tokens, self._failovers, self._retries),
            *(self._cost, self._gpu),
            *(self._queue, self._connect, self._first, self._gap, self._own),
        )

    def count(self, record: ExchangeRecord) -> None:
        """Count a finished request; it shows after the next `flush()`."""
        backend, own = record.backend, own_ms(record)
        with self._lock:
            self._reasons[record.reason, record.route][0] += 1
            self._models[record.requested_model, backend][0] += 1
            if own is not None:
                self._own.observe(own / 1000, record.route)
            if record.attempts:
                self._count_attempts(record)
            if record.wasted_tokens > 0:
                self._tokens[_speculated(record), "wasted"][0] += record.wasted_tokens
            if backend is not None:
                self._count_answer(record, backend)

    def flush(self) -> None:
        """Add what has been counted to the metrics."""
        with self._lock:
            for sums in self._all:
                sums.flush()

    def _count_attempts(self, record: ExchangeRecord) -> None:
        first, last = record.attempts[0], record.attempts[-1]
        if last.result in _SERVED and last.backend != first.backend:
            self._failovers[first.backend, last.backend][0] += 1
        for attempt in record.attempts:
            if attempt.then == "again":
                self._retries[attempt.backend,][0] += 1
        self._queue.observe(record.queue_ms / 1000, last.backend)

    def _count_answer(self, record: ExchangeRecord, backend: str) -> None:
        if record.stream and record.connect_ms is not None:
            self._connect.observe(record.connect_ms / 1000, backend)
        if record.backend_ttft_ms is not None:
            self._first.observe(record.backend_ttft_ms / 1000, backend)
        if record.gap_ms is not None:
            self._gap.observe(record.gap_ms / 1000, backend)
        settings = self.settings_of(backend)
        if settings is not None and settings.local:
            self._gpu[backend,][0] += record.inference_ms / 1000
        if record.usage is None:
            return
        given = tokens_of(record.usage)
        for kind, tokens in zip(("input", "output", "cached"), given, strict=True):
            if tokens:
                self._tokens[backend, kind][0] += tokens
        if settings is not None and (dollars := cost_of(settings.price, *given)):
            self._cost[backend,][0] += dollars


def cost_of(price: Price, given: int | None, generated: int | None, cached: int | None) -> float:
    """Dollars for tokens of a prompt, of its completion, and of the prompt's part that came from
    the prefix cache."""
    given, cached = given or 0, min(cached or 0, given or 0)
    cheaper = price.input if price.cached is None else price.cached
    millionths = (given - cached) * price.input + cached * cheaper + (generated or 0) * price.output
    return millionths / 1_000_000


def _speculated(record: ExchangeRecord) -> str | None:
    """The backend whose speculative answer was cancelled."""
    return next((step.provider for step in record.steps if step.step == "speculation"), None)
