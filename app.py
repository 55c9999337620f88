"""The composition root: the only file that imports all parts. gunicorn serves `create_app()`."""

import atexit
from collections.abc import Callable, Mapping

from flask import Flask

from airouter.api import admin, auth, inference, models, passthrough, render_errors, status
from airouter.api.fast_path import Express
from airouter.api.middleware import Edge
from airouter.classify.assemble import build_tiers, prompt_names
from airouter.classify.cascade import Cascade
from airouter.domain import redaction
from airouter.domain.clock import Clock
from airouter.domain.types import Decision, Features
from airouter.flow.exchange import Exchange
from airouter.proxy.pipeline import Executor
from airouter.proxy.tool_memory import ConversationMemory
from airouter.runtime.canaries import prove
from airouter.runtime.control import Control
from airouter.runtime.state import Runtime, State
from airouter.settings.load import load_settings
from airouter.settings.prompts import load_prompts
from airouter.settings.schema import Server, Settings
from airouter.telemetry.console import ConsoleLines
from airouter.telemetry.lines import RequestLines
from airouter.telemetry.logs import AppLog, Log, install_stdlib_handler
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.stats import Stats
from airouter.upstream.backend import Backend
from airouter.upstream.health import HealthChecker
from providers import KINDS
from session_logger import SessionLogger

BREAKER_STATES = ("closed", "half_open", "cooling", "open")
BLUEPRINTS = (inference, models, passthrough, status, admin)


def create_app(settings: Settings | None = None) -> Flask:
    """Build the WSGI application.

    Args:
        settings: the configuration; None reads it from the environment and `config/router.yaml`.

    Raises:
        ConfigError: the configuration is invalid; the message is one sentence for the operator.
    """
    settings = settings or load_settings()
    clock = Clock(settings.timezone)
    logging = settings.logging
    log = AppLog(logging.dir, level=logging.level, fmt=logging.format, clock=clock)
    install_stdlib_handler(log)
    metrics, stats = Metrics(), Stats()
    sessions = SessionLogger(
        logging.dir / "sessions", content=logging.content, max_age_days=logging.max_age_days, max_count=logging.max_count,
        log=log, clock=clock, on_event=metrics.session_event,
    )  # fmt: skip
    state = build_state(settings, log, clock)
    slow_ms = slow_thresholds(settings)
    lines = RequestLines(log, slow_ms)
    console = (ConsoleLines(),) if logging.console else ()
    control = Control()

    def rebuild(old: State) -> State:
        fresh = build_state(load_settings(), log, clock, keep=old)
        slow_ms.update(slow_thresholds(fresh.settings))
        return fresh

    runtime = Runtime(
        state,
        rebuild=rebuild,
        control=control,
        clock=clock,
        log=log,
        metrics=metrics,
        stats=stats,
        sinks=(lines, metrics, stats, sessions, *console),
        writers=(sessions, *console),
    )
    _register_gauges(runtime)

    app = Flask("ai-router", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["airouter"] = runtime
    auth.register(app, runtime)
    render_errors.register(app)
    for concern in BLUEPRINTS:
        app.register_blueprint(concern.blueprint(runtime))
    app.url_map.merge_slashes = False  # paths.py merges slashes without a redirect
    app.wsgi_app = Edge(Express(app.wsgi_app, runtime), runtime)  # type: ignore[method-assign]
    runtime.start()
    atexit.register(runtime.close)
    return app


def build_state(settings: Settings, log: Log, clock: Clock, keep: State | None = None) -> State:
    """Build everything that depends on the configuration.

    Args:
        keep: the state of the previous configuration. Backends with unchanged settings are kept,
            with their slots, breaker and connections, and so is the conversation memory. Address,
            workers, threads and `logging` keep their values from startup.

    Raises:
        ConfigError: the configuration is invalid; nothing has been changed.
    """
    if keep is not None:
        settings = settings.model_copy(
            update={
                "server": _bound_to(settings.server, keep.settings.server),
                "logging": keep.settings.logging,
            }
        )
    redaction.protect(settings.keys())
    prompts = load_prompts(settings.prompts_dir, prompt_names(settings))
    before = keep.backends if keep is not None else {}
    backends = {
        name: build_backend(name, settings, clock, before)
        for name in settings.backends
        if settings.usable(name)
    }
    tiers = build_tiers(settings.cascade, backends, prompts, log, clock)
    cascade = Cascade(tiers, clock, settings.cascade.fallback_min_p, settings.cascade.patience)
    memory = keep.memory if keep is not None else ConversationMemory()
    executor = Executor(settings, backends, cascade, prompts, memory, log, clock)
    for backend in backends.values():
        backend.limiter.queue = queue_share(settings)
    return State(
        settings,
        backends,
        executor,
        memory,
        HealthChecker(backends, clock, settings.timeouts.health),
    )


def build_backend(
    name: str, settings: Settings, clock: Clock, keep: Mapping[str, Backend]
) -> Backend:
    spec = settings.backends[name]
    before = keep.get(name)
    if before is not None and before.settings == spec:
        return before
    backend = Backend(
        name,
        spec,
        KINDS[spec.kind],
        clock,
        queue=queue_share(settings),
        workers=settings.server.workers,
    )
    if before is not None:
        backend.inherit(before)
    return backend


def queue_share(settings: Settings) -> int:
    """The queue length of this process: the queue is divided among the workers."""
    return max(1, settings.queue.length // settings.server.workers) if settings.queue.length else 0


def slow_thresholds(settings: Settings) -> dict[str, float]:
    return {route: spec.slow_ms for route, spec in settings.routes.items()}


def _bound_to(new: Server, old: Server) -> Server:
    """The new settings with the old address, workers and threads, which need a restart."""
    return new.model_copy(
        update={name: getattr(old, name) for name in ("host", "port", "workers", "threads", "pin")}
    )


def check(settings: Settings) -> None:
    """Raise errors that `create_app` would raise in a worker, which gunicorn would then respawn
    forever."""
    clock = Clock(settings.timezone)
    build_state(settings, _Silent(), clock)


def decider(settings: Settings) -> Callable[[Features], Decision]:
    """The configured cascade as a function, for `evaluate`; calls the classifier if the instant
    tiers abstain."""
    clock = Clock(settings.timezone)
    cascade = build_state(settings, _Silent(), clock).executor.cascade
    prove(cascade.tiers, clock)

    def decide(features: Features) -> Decision:
        exchange = Exchange(clock, client=None, client_ip="", total=settings.timeouts.total)
        try:
            deliberation = cascade.deliberate(features)
            if deliberation.decision is None:
                for _ in deliberation.run(exchange):
                    pass  # no client needs keepalives
            assert deliberation.decision is not None
            return deliberation.decision
        finally:
            exchange.close()

    return decide


class _Silent:
    def info(self, template: str, *args: object) -> None: ...

    warning = error = info


def _register_gauges(runtime: Runtime) -> None:
    metrics = runtime.metrics
    metrics.register_gauge(
        "backend_in_use",
        "Slots in use.",
        lambda: {n: b.limiter.in_use for n, b in runtime.state.backends.items()},
        ("backend",),
    )
    metrics.register_gauge(
        "backend_waiting",
        "Requests waiting for a slot.",
        lambda: {n: b.limiter.waiting for n, b in runtime.state.backends.items()},
        ("backend",),
    )
    metrics.register_gauge(
        "backend_state",
        "Circuit breaker state: 0 closed, 1 half-open, 2 cooling, 3 open.",
        lambda: {
            n: float(BREAKER_STATES.index(b.breaker.state))
            for n, b in runtime.state.backends.items()
        },
        ("backend",),
        mode="livemax",
    )
    metrics.register_counter(
        "log_dropped_total",
        "Log lines dropped because they could not be written.",
        lambda: runtime.log.dropped,
    )
