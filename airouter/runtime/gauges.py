"""Gauges that read the state of the current configuration's backends when they are scraped."""

from collections.abc import Callable

from airouter.runtime.state import Current
from airouter.telemetry.logs import AppLog
from airouter.telemetry.metrics import Metrics
from airouter.upstream.backend import Backend

BREAKER_STATES = ("closed", "half_open", "cooling", "open")


def register(metrics: Metrics, current: Current, log: AppLog) -> None:
    """Add the gauges to the metrics."""

    def per_backend(value: Callable[[Backend], float]) -> Callable[[], dict[str, float]]:
        return lambda: {name: value(b) for name, b in current.state.backends.items()}

    in_use = per_backend(lambda b: b.limiter.in_use)
    metrics.register_gauge("backend_in_use", "Slots in use.", in_use, ("backend",))
    waiting = per_backend(lambda b: b.limiter.waiting)
    metrics.register_gauge("backend_waiting", "Requests waiting for a slot.", waiting, ("backend",))
    metrics.register_gauge(
        "backend_state",
        "Circuit breaker state: 0 closed, 1 half-open, 2 cooling, 3 open.",
        per_backend(lambda b: float(BREAKER_STATES.index(b.breaker.state))),
        ("backend",),
        mode="livemax",
    )
    metrics.register_counter(
        "log_dropped_total",
        "Log lines dropped because they could not be written.",
        lambda: log.dropped,
    )
