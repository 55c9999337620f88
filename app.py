"""The composition root: the only file that imports all parts. gunicorn serves `create_app()`."""

from collections.abc import Callable, Mapping

from flask import Flask

from airouter.api import (
    admin,
    dashboard_streams,
    decisions,
    declared_endpoints,
    inference,
    mapper,
    messages,
    models,
    ollama,
    openai_responses,
    passthrough,
    render_errors,
    slo,
    status,
    stored_responses,
)
from airouter.api import dashboard as dashboard_pages
from airouter.api.fast_path import FastPath, declare
from airouter.api.middleware import Middleware
from airouter.api.visitors import Visitors
from airouter.classify.assemble import build_tiers, prompt_names
from airouter.classify.cascade import Cascade
from airouter.classify.tiers.encoder import EncoderTier
from airouter.dashboard.dashboard import Dashboard
from airouter.domain import redaction
from airouter.domain.clock import Clock
from airouter.domain.ports import Resilience
from airouter.evaluation.decider import Deciders, deciders
from airouter.index.index import Index
from airouter.learning.service import Learning
from airouter.mapper.idempotency import Replays
from airouter.mapper.meter import Meter
from airouter.mapper.service import Mapper
from airouter.proxy.pipeline import Pipeline
from airouter.proxy.session_memory import SessionMemory
from airouter.resilience.per_process import PerProcess
from airouter.resilience.rate_limits import RateLimits
from airouter.runtime import gauges
from airouter.runtime.access import Access
from airouter.runtime.canaries import prove
from airouter.runtime.commands import Commands
from airouter.runtime.control import Control
from airouter.runtime.housekeeper import Housekeeper
from airouter.runtime.kept_responses import ResponseStore
from airouter.runtime.limiters import (
    Identity,
    by_identity,
    identity,
    new_limiters,
    sharing_with_classifier,
    slots_of,
)
from airouter.runtime.objectives import Objectives
from airouter.runtime.process import Runtime
from airouter.runtime.reload_policy import queue_share, reloaded, slow_thresholds
from airouter.runtime.state import Current, State
from airouter.settings.load import load_settings
from airouter.settings.prompts import load_prompts
from airouter.settings.schema import Settings
from airouter.slo.engine import Engine
from airouter.slo.load import load_profiles, present
from airouter.slo.objectives import Profile
from airouter.telemetry.console import ConsoleLines
from airouter.telemetry.lines import RequestLines
from airouter.telemetry.logs import SILENT, AppLog, Log
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.prefill_speed import PrefillMeter
from airouter.telemetry.slo_metrics import SloMetrics
from airouter.telemetry.stats import Stats
from airouter.telemetry.tracing import Tracing, check_installed
from airouter.upstream.backend import Backend
from airouter.upstream.health import HealthChecker
from providers import KINDS
from session_logger import SessionLogger

BLUEPRINTS = (models, status, slo, admin)
FLOWS = (inference, messages, decisions, ollama, declared_endpoints, passthrough)


def create_app(settings: Settings | None = None, resilience: Resilience | None = None) -> Flask:
    """Build the WSGI application. Its background work starts with
    `app.extensions["airouter"].start()`, which gunicorn.conf.py calls after the fork, or with the
    first request.

    Args:
        settings: the configuration; None reads it from the environment and `config/router.yaml`.
        resilience: makes limiters, breakers and the retry budget; None: each process its own.

    Raises:
        ConfigError: the configuration is invalid; the message is one sentence for the operator.
    """
    settings = settings or load_settings()
    clock = Clock(settings.timezone)
    resilience = resilience or PerProcess(clock)
    logging = settings.logging
    log = AppLog(logging.dir, level=logging.level, fmt=logging.format, clock=clock)
    metrics, stats = Metrics(), Stats()
    sessions = SessionLogger(
        logging.dir / "sessions",
        content=logging.content,
        max_age_days=logging.max_age_days,
        max_count=logging.max_count,
        log=log,
        clock=clock,
        on_event=metrics.session_event,
    )
    evaluated = settings.slo.enabled and settings.index.enabled
    profiles = load_objectives(settings) if evaluated else ()
    objectives, index, engine, numbers = build_slo(
        settings, profiles, clock, log, metrics, lambda: current.state
    )
    slow_ms = slow_thresholds(settings)
    console = (ConsoleLines(),) if logging.console else ()
    tracing = (Tracing(settings.tracing, clock, log),) if settings.tracing.endpoint else ()

    def rebuild(old: State) -> State:
        fresh = build_state(load_settings(), log, clock, resilience, keep=old)
        watch(fresh.backends, objectives)
        slow_ms.update(slow_thresholds(fresh.settings))
        return fresh

    current, control = Current(build_state(settings, log, clock, resilience), clock), Control()
    commands = Commands(current, control, rebuild, clock, log)
    housekeeper = Housekeeper(current, commands, control, clock, log)
    folder = control.path.parent
    meter = Meter(numbers.mapper, objectives.mapped, objectives.mapper_limits, clock)
    metrics.read_from(numbers.mapper.flush)
    learning = Learning(
        current, settings.cascade.tuned.dir, clock=clock, log=log, fed=objectives.fed
    )
    metrics.register_counter(
        "tuned_comparisons_total",
        "Requests on which a tuned model was compared: in shadow, or by asking the classifier.",
        lambda: learning.counts,
        ("kind", "result"),
    )
    dashboard = Dashboard(current, housekeeper, folder, profiles, meter, clock, log)
    runtime = Runtime(
        current,
        commands,
        housekeeper,
        clock=clock,
        log=log,
        metrics=metrics,
        stats=stats,
        sinks=(
            RequestLines(log, slow_ms),
            metrics,
            stats,
            sessions,
            *index,
            *tracing,
            *console,
            PrefillMeter(lambda: current.state.backends),
            learning,
        ),
        writers=(sessions, *index, *tracing, *console),
        services=(*engine, dashboard, learning),
    )
    housekeeper.on_probe, runtime.on_ready = objectives.probed, objectives.ready
    watch(current.state.backends, objectives)
    gauges.register(metrics, current, log)

    app = Flask("ai-router", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["airouter"] = runtime
    render_errors.register(app)
    for concern in BLUEPRINTS:
        app.register_blueprint(concern.blueprint(runtime))
    visitors = Visitors(folder)
    app.register_blueprint(dashboard_pages.blueprint(runtime, dashboard, visitors))
    routes = [route for concern in FLOWS for route in concern.routes(runtime)]
    routes += mapper.routes(runtime, meter, Replays(folder / "mapper.sqlite", clock))
    responses = ResponseStore(folder / "responses.sqlite")
    app.register_blueprint(stored_responses.blueprint(runtime, responses))
    routes += openai_responses.routes(runtime, responses)
    routes += dashboard_streams.routes(runtime, dashboard, visitors)
    declare(app, routes)
    app.url_map.merge_slashes = False  # paths.py merges slashes without a redirect
    stack = Middleware(FastPath(app.wsgi_app, runtime, routes), runtime)
    app.wsgi_app = stack  # type: ignore[method-assign]
    return app


def build_slo(
    settings: Settings,
    profiles: tuple[Profile, ...],
    clock: Clock,
    log: AppLog,
    metrics: Metrics,
    state: Callable[[], State],
) -> tuple[Objectives, tuple[Index, ...], tuple[Engine, ...], SloMetrics]:
    """What counts for the objectives, the index that keeps it, and what evaluates it (none of
    these two where they are switched off), and the metrics."""
    chosen, kept = settings.slo, settings.index
    numbers = SloMetrics(
        metrics.registry, [o.name for profile in profiles for o in profile.objectives]
    )
    objectives = Objectives(
        profiles,
        lambda: state().backends,
        lambda route: state().settings.serving(route),
        numbers.event,
        clock,
        chosen.business_hours,
    )
    if not kept.enabled:
        return objectives, (), (), numbers
    index = objectives.index = Index(
        settings.logging.dir,
        max_age_days=kept.max_age_days,
        max_count=kept.max_count,
        clock=clock,
        log=log,
        judge=objectives.judge,
        on_event=numbers.index_event,
    )
    if not profiles:
        return objectives, (index,), (), numbers
    engine = Engine(
        profiles,
        chosen,
        index.path,
        clock=clock,
        log=log,
        publish=numbers.publish,
        source=f"http://{settings.server.host}:{settings.server.port}",
        rules_only=lambda: state().mapper.rules_only,
    )
    objectives.leads = lambda: engine.leads
    return objectives, (index,), (engine,), numbers


def load_objectives(settings: Settings) -> tuple[Profile, ...]:
    """The chosen profiles; of the default ones, those that the folder has.

    Raises:
        ConfigError: one of them is missing or not valid.
    """
    chosen = settings.slo
    by_default = "profiles" not in chosen.model_fields_set
    names = present(chosen.profiles, chosen.folder) if by_default else chosen.profiles
    return load_profiles(names, chosen.folder, chosen.environment)


def watch(backends: Mapping[str, Backend], objectives: Objectives) -> None:
    """Have the backends tell when their breakers change."""
    for backend in backends.values():
        backend.on_state = objectives.changed


def build_state(
    settings: Settings, log: Log, clock: Clock, resilience: Resilience, keep: State | None = None
) -> State:
    """Build everything that depends on the configuration.

    Args:
        keep: the state of the previous configuration. Backends with unchanged settings are kept,
            with their slots, breaker and connections, and so is the memory of conversations.
            Address, workers, threads and `logging` keep their values from startup.

    Raises:
        ConfigError: the configuration is invalid; nothing has been changed.
    """
    if keep is not None:
        settings = reloaded(settings, keep.settings)
    redaction.protect(settings.secrets())
    prompts = load_prompts(settings.prompts_dir, prompt_names(settings))
    before = by_identity(keep.backends) if keep is not None else {}
    backends = {
        name: build_backend(name, settings, log, clock, resilience, before)
        for name in settings.backends
        if settings.usable(name)
    }
    limiters = new_limiters(settings, keep.settings if keep is not None else None, resilience)
    tiers = build_tiers(settings.cascade, backends, prompts, log, clock)
    search = settings.backends.get(settings.enrichment.backend)
    fallback = settings.cascade.fallback_min_p
    enrich = fallback.for_enrich(search is not None and search.local)
    cascade = Cascade(tiers, clock, fallback.complex, settings.cascade.patience, enrich)
    memory = keep.memory if keep is not None else SessionMemory()
    memory.limit(settings.sessions.size, settings.sessions.idle)
    budget = resilience.retry_budget()
    pipeline = Pipeline(settings, backends, cascade, prompts, memory, budget, log, clock)
    shared = sharing_with_classifier(settings)
    for backend in backends.values():
        backend.limiter.queue = queue_share(settings)
        backend.may_speculate = backend.name not in shared
    for name, limiter in limiters.items():
        backends[name].limiter = limiter
    health = HealthChecker(backends, clock, settings.timeouts.health)
    route = settings.serving(settings.mapper.route)
    mapping = Mapper(settings.mapper, route, backends, clock)
    access = Access(settings.server, settings.keys)
    rates = keep.rates if keep is not None else RateLimits(settings.server.workers, clock)
    return State(settings, backends, pipeline, memory, health, access, rates, mapping)


def build_backend(
    name: str,
    settings: Settings,
    log: Log,
    clock: Clock,
    resilience: Resilience,
    keep: Mapping[Identity, Backend],
) -> Backend:
    """A backend; the one of the previous configuration, if its settings are the same."""
    spec = settings.backends[name]
    before = keep.get(identity(name, spec))
    if before is not None and before.name == name and before.settings == spec:
        return before
    backend = Backend(
        name,
        spec,
        KINDS[spec.kind],
        clock,
        limiter=resilience.limiter(name, slots_of(spec.slots, settings), queue_share(settings)),
        breaker=resilience.breaker(
            name,
            threshold=spec.breaker_fails,
            reset=spec.breaker_reset,
            allowed_fails=spec.allowed_fails,
            cooldown=spec.cooldown,
        ),
        log=log,
    )
    if before is not None:
        backend.inherit(before)
    return backend


def check(settings: Settings) -> None:
    """Raise errors that `create_app` would raise in a worker, which gunicorn would then respawn
    forever."""
    clock = Clock(settings.timezone)
    build_state(settings, SILENT, clock, PerProcess(clock))
    load_objectives(settings)
    if settings.tracing.endpoint is not None:
        check_installed()


def decider(settings: Settings) -> Deciders:
    """The configured cascade as functions; its canaries have been sent, and the encoder is
    loaded."""
    clock = Clock(settings.timezone)
    cascade = build_state(settings, SILENT, clock, PerProcess(clock)).pipeline.cascade
    prove(cascade.tiers, clock)
    for tier in cascade.tiers:
        if isinstance(tier, EncoderTier):
            tier.load()
    return deciders(cascade, settings.timeouts.total)
