"""gunicorn's settings, derived from the router's. The master validates the configuration before it
forks workers."""

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from airouter.cli.summary import shown_url
from airouter.domain.errors import ConfigError
from airouter.resilience.traffic import TABLE
from airouter.runtime import control, run_folder
from airouter.server.descriptors import affordable_connections, raise_limit
from airouter.server.request import FIELD_SIZE
from airouter.server.worker import LOADS
from airouter.settings.load import check_address, load_settings, warn_of_retired

# Until gunicorn takes its signals itself: a Ctrl-C ends the start without a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
_folder = run_folder.make()
os.environ.setdefault(control.VARIABLE, str(control.path_in(_folder)))
# Before numpy is imported: the learned tier's matrix products are small, so threads would only add
# synchronisation overhead.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
try:
    warn_of_retired(os.environ)
    _settings = load_settings()
    check_address(_settings)
    if _settings.server.workers > 1:
        # Before prometheus_client is imported, which then chooses its storage.
        _metrics = _folder / "metrics"
        _metrics.mkdir()
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_metrics))
    from app import check

    check(_settings)
except ConfigError as error:
    print(f"ai-router: {error.message}", file=sys.stderr)
    sys.exit(1)

_server = _settings.server
_descriptors = raise_limit()
_cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
if _cores:  # start by port, so that two routers on one machine do not pick the same core first
    _first = _server.port % len(_cores)
    _cores = _cores[_first:] + _cores[:_first]
wsgi_app = "app:create_app()"
bind = (
    f"[{_server.host}]:{_server.port}" if ":" in _server.host else f"{_server.host}:{_server.port}"
)
worker_class = "airouter.server.worker.Worker"
workers = _server.workers
threads = _server.threads
worker_connections = affordable_connections(_server.max_connections, _descriptors)
if worker_connections < _server.max_connections:
    print(
        f"ai-router: each worker holds {worker_connections} instead of {_server.max_connections} "
        f"client connections, because the limit of file descriptors is {_descriptors}; raise the "
        "hard limit (ulimit -Hn)",
        file=sys.stderr,
    )
limit_request_field_size = FIELD_SIZE
keepalive = max(1, round(_server.idle_timeout))  # of other worker classes
timeout = 0  # no worker timeout: long streams are normal, and the router has its own timeouts
# Later than timeouts.drain, at which the router ends the remaining requests with an error event;
# gunicorn would just cut their connections.
graceful_timeout = int(_settings.timeouts.drain) + 20
backlog = 2048
control_socket_disable = True  # it would create files in the user's home directory
accesslog = None
errorlog = "-"
loglevel = "warning"


def when_ready(_arbiter: Any) -> None:
    # gunicorn's own SIGHUP handler would exit on an invalid configuration; this one validates
    # first.
    signal.signal(signal.SIGHUP, _reload)
    if workers > 1:
        print(
            f"ai-router: {workers} workers; slots and queue of each backend are divided among them",
            file=sys.stderr,
        )


def pre_fork(arbiter: Any, worker: Any) -> None:
    # A restarted worker gets the core of the one that it replaces.
    taken = [getattr(other, "core", None) for other in arbiter.WORKERS.values()]
    worker.core = min(_cores, key=taken.count) if _server.pin and _cores else None
    used = {getattr(other, "slot", None) for other in arbiter.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(used) + 1) if slot not in used)


def post_fork(_arbiter: Any, worker: Any) -> None:
    if worker.core is not None:
        with suppress(OSError):  # forbidden in this container, or the core is no longer available
            os.sched_setaffinity(0, {worker.core})


def _reload(_number: int, _frame: Any) -> None:
    try:
        check(load_settings())
    except ConfigError as error:
        print(f"ai-router: the configuration was not reloaded: {error.message}", file=sys.stderr)
    else:
        control.Control().reload()


def post_worker_init(worker: Any) -> None:
    """Start the background work. On SIGTERM, let requests in flight finish until
    `timeouts.drain`."""
    gunicorns_own = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        runtime = _runtime(worker)
        if runtime is not None:
            runtime.stop()
        if callable(gunicorns_own):
            gunicorns_own(number, frame)

    signal.signal(signal.SIGTERM, stop)
    runtime = _runtime(worker)
    if runtime is None:
        return
    runtime.start()
    if worker.age == 1 and not os.environ.get("AIROUTER_INTRODUCED"):
        threading.Thread(target=_tell_who_is_down, args=(runtime,), daemon=True).start()


def _tell_who_is_down(runtime: Any) -> None:
    """Warn of each backend that is unreachable at startup."""
    settings = runtime.state.settings
    runtime.housekeeper.looked.wait(settings.probes.timeout + 1)
    for name, found in dict(runtime.housekeeper.found).items():
        if not found.healthy:
            where = shown_url(settings.backends[name].url)
            print(
                f"ai-router: WARNING: backend {name} at {where} is not reachable: {found.problem}",
                file=sys.stderr,
                flush=True,
            )


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Write queued session files and log lines."""
    runtime = _runtime(worker)
    if runtime is not None:
        runtime.close()
    if os.getppid() != worker.ppid:  # the master was killed before it could remove the directory
        run_folder.remove(_folder)


def child_exit(_arbiter: Any, worker: Any) -> None:
    LOADS.leave(worker.slot)
    TABLE.leave(worker.slot)
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from airouter.telemetry.metrics import Metrics

        Metrics.process_gone(worker.pid)


def on_exit(_arbiter: Any) -> None:
    control.Control().remove()


def _runtime(worker: Any) -> Any:
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get("airouter")
