"""The router with a stopwatch at its stages; `bench.profile` runs it in a real gunicorn worker.

A stage is a function. Its own time excludes that of stages it calls, so the stages add up to the
whole.
"""

import importlib
import threading
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import orjson

# stage -> functions, as module:name or module:Class.name, by the name under which they are looked
# up when called
STAGES: dict[str, tuple[str, ...]] = {
    "loop: wait for an event": ("selectors:DefaultSelector.select",),
    "loop: rest of a round": (
        "airouter.server.loop:Loop.round",
        "airouter.server.clients:Clients.serve",
    ),
    "client: receive, parse": (
        "airouter.server.connection:Connection._read",
        "airouter.server.request:RequestReader.feed",
    ),
    "client: begin request": ("airouter.server.clients:Clients._begin",),
    "client: environ": ("airouter.server.clients:environ_of",),
    "client: response as bytes": (
        "airouter.server.response:Response.frame",
        "airouter.server.response:Response.end",
    ),
    "client: send": ("airouter.server.connection:Connection.send",),
    "client: end": (
        "airouter.server.connection:Connection.done",
        "airouter.server.serving:Serving._end",
    ),
    "flow: park": ("airouter.server.serving:Serving._watch",),
    "flow: rest": ("airouter.server.serving:Serving.resume",),
    "edge: begin exchange": (
        "airouter.api.middleware:Middleware.__call__",
        "airouter.api.middleware:Exchange.__init__",
    ),
    "edge: end exchange": (
        "airouter.api.middleware:Body.close",
        "airouter.flow.exchange:Exchange.close",
    ),
    "record": ("airouter.telemetry.record:RecordBuilder.freeze",),
    "edge: dispatch": ("airouter.api.fast_path:FastPath.__call__",),
    "edge: authorise": ("airouter.api.auth:check",),
    "request: parse, check": (
        "airouter.api.inference:parse_json",
        "airouter.api.inference:parse_request",
    ),
    "request: features, date": (
        "airouter.proxy.pipeline:features_of",
        "airouter.proxy.pipeline:demand_of",
        "airouter.proxy.pipeline:date_line",
    ),
    "flow: plan": ("airouter.planning:Planner.plan",),
    "flow: compose": ("airouter.proxy.failover:compose",),
    "flow: response headers": ("airouter.api.responses:answer_headers",),
    "upstream: prepare": ("airouter.proxy.attempt:Attempt.__init__",),
    "upstream: connection, send": ("airouter.upstream.transport.call:Call.start",),
    "upstream: receive, parse": ("airouter.upstream.transport.call:Call.advance",),
    "upstream: judge answer": (
        "airouter.proxy.attempt:Attempt.problem",
        "airouter.proxy.attempt:Attempt.record_step",
    ),
    "upstream: give back": (
        "airouter.proxy.attempt:Attempt.close",
        "airouter.upstream.transport.pool:Origin.give",
    ),
    "sink: log line": ("airouter.telemetry.lines:RequestLines.emit",),
    "sink: metrics": ("airouter.telemetry.metrics:Metrics.emit",),
    "sink: stats": ("airouter.telemetry.stats:Stats.emit",),
    "sink: session, queueing": ("session_logger:SessionLogger.emit",),
    "background: write sessions": ("session_logger:SessionLogger._handle",),
    "background: write log": ("airouter.telemetry.logs:AppLog._write",),
}
_perf = time.perf_counter
PATHS = ("/_bench/reset", "/_bench/report")


class Stopwatch:
    """Time and calls per stage. Mutable state: one table per thread, made under a lock; each is
    written by its thread alone."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._tables: list[dict[str, list[float]]] = []

    def _mine(self) -> tuple[list[float], dict[str, list[float]]]:
        local = self._local
        try:
            return local.stack, local.table
        except AttributeError:
            local.stack, local.table = [], {}
            with self._lock:
                self._tables.append(local.table)
            return local.stack, local.table

    def add(self, stage: str, seconds: float, table: dict[str, list[float]] | None = None) -> None:
        entry = (self._mine()[1] if table is None else table).setdefault(stage, [0.0, 0.0])
        entry[0] += seconds
        entry[1] += 1

    def watch(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            stack, table = self._mine()
            stack.append(0.0)  # time of the stages within
            start = _perf()
            try:
                return function(*args, **kwargs)
            finally:
                took = _perf() - start
                self.add(stage, took - stack.pop(), table)
                if stack:
                    stack[-1] += took

        return timed

    def reset(self) -> None:
        with self._lock:
            for table in self._tables:
                table.clear()

    def totals(self) -> dict[str, tuple[float, int]]:
        found: dict[str, tuple[float, int]] = {}
        with self._lock:
            for table in self._tables:
                for stage, (seconds, calls) in list(table.items()):
                    before = found.get(stage, (0.0, 0))
                    found[stage] = (before[0] + seconds, before[1] + int(calls))
        return found


WATCH = Stopwatch()


def instrument(stages: dict[str, tuple[str, ...]]) -> list[str]:
    """Put the stopwatch at every stage; returns the functions that do not exist (any more)."""
    missing = []
    for stage, names in stages.items():
        for name in names:
            module, _, path = name.partition(":")
            *owners, leaf = path.split(".")
            try:
                owner: Any = importlib.import_module(module)
                for part in owners:
                    owner = getattr(owner, part)
                setattr(owner, leaf, WATCH.watch(stage, getattr(owner, leaf)))
            except (ImportError, AttributeError):
                missing.append(name)
    return missing


class Instrumented:
    """The router's application, with two paths of its own: /_bench/reset and /_bench/report."""

    def __init__(self, app: Any, missing: list[str]) -> None:
        self._app = app
        self._missing = missing
        self.extensions = app.extensions  # gunicorn's worker_exit hook looks for the runtime there

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path not in PATHS:
            found: Iterable[bytes] = self._app(environ, start_response)
            return found
        told = orjson.dumps({"stages": WATCH.totals(), "missing": self._missing})
        if path == PATHS[0]:
            WATCH.reset()
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(told)))]
        start_response("200 OK", head)
        return [told]


def create_app() -> Instrumented:
    missing = instrument(STAGES)
    from app import create_app as create

    return Instrumented(create(), missing)
