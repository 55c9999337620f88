"""Metrics that read the state of the current configuration when they are scraped: of its backends,
and of the cascade's caches."""

from collections.abc import Callable, Iterator

from airouter.classify.cascade import Cascade
from airouter.runtime.state import Current
from airouter.telemetry.logs import AppLog
from airouter.telemetry.metrics import Metrics
from airouter.upstream.backend import Backend, ServerLoad

BREAKER_STATES = ("closed", "half_open", "cooling", "open")


def register(metrics: Metrics, current: Current, log: AppLog) -> None:
    """Add them to the metrics, and tell these the backends' prices."""
    metrics.price_by(lambda name: current.state.settings.backends.get(name))

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
    metrics.register_counter(
        "cooldowns_total",
        "Times that a circuit breaker began to cool or opened.",
        lambda: {
            key: float(count)
            for name, b in current.state.backends.items()
            for key, count in (
                ((name, "cooling"), b.breaker.cooled),
                ((name, "open"), b.breaker.opened),
            )
        },
        ("backend", "state"),
    )
    metrics.register_counter(
        "cache_hits_total",
        "Decisions taken from the cache, or from an equal request at the same time.",
        lambda: _cache_hits(current.state.pipeline.cascade),
        ("cache",),
    )
    _register_loads(metrics, current)


def _cache_hits(cascade: Cascade) -> dict[str, float]:
    decision = cascade.cache.hits if cascade.cache is not None else 0
    return {"decision": float(decision), "single_flight": float(cascade.flights.shared)}


def _register_loads(metrics: Metrics, current: Current) -> None:
    """What vLLM servers state; each worker reads it by itself."""

    def of(value: Callable[[ServerLoad], float | None]) -> Callable[[], dict[str, float]]:
        def stated() -> Iterator[tuple[str, float]]:
            for name, backend in current.state.backends.items():
                number = None if backend.load is None else value(backend.load)
                if number is not None:
                    yield name, number

        return lambda: dict(stated())

    for name, documentation, value in (
        ("running", "Requests that the server runs, as it states.", lambda s: s.running),
        ("waiting", "Requests that wait in the server, as it states.", lambda s: s.waiting),
        (
            "prefix_cache_hit_ratio",
            "Share of prompt tokens that the server's prefix cache had, since its start.",
            lambda s: s.hit_ratio,
        ),
    ):
        metrics.register_gauge(
            f"backend_server_{name}", documentation, of(value), ("backend",), mode="livemax"
        )
