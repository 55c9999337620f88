"""The background thread of a worker: probes backends, starts canaries, and applies commands from
/admin/*."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace

from airouter.domain.clock import Clock
from airouter.runtime.canaries import Canaries
from airouter.runtime.commands import Commands
from airouter.runtime.control import Control
from airouter.runtime.state import Current
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.health import Health, ask_all
from airouter.upstream.loaded_models import read_loaded
from airouter.upstream.server_load import read_loads

_LOOK = 0.5  # seconds between checks of the control file and of probes that are due
_JITTER = 0.1
_LOAD_LIMIT = 1.0  # seconds to read what load servers state
_IDLE_AFTER = 60.0  # seconds without a request after which probing slows down


class Housekeeper:
    """Started after the fork, stopped with the worker. Mutable state: when each backend is probed
    next, and whether it was down at the last probe; used by its thread only."""

    def __init__(
        self,
        current: Current,
        commands: Commands,
        control: Control,
        clock: Clock,
        log: Log,
    ) -> None:
        self._current = current
        self._commands = commands
        self._control = control
        self._canaries = Canaries(clock, log)
        self._clock = clock
        self._log = log
        self._due: dict[str, float] = {}
        self._down: set[str] = set()
        self._stamp = (0, 0, 0)
        self.on_probe: Callable[[str, bool, float], None] = _ignore  # told (name, up, ms)
        self._stopped = False
        # Set after the first probe: the models of reachable backends are known.
        self.looked = threading.Event()
        self.found: dict[str, Health] = {}  # result of the last probe by backend
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped = True
        self._current.changed.set()
        if self._thread is not None:
            self._thread.join(self._current.state.settings.probes.timeout + 1)
        self._canaries.close()

    def _run(self) -> None:
        wait = 0.0  # at once: the backends' models are not known yet
        while True:
            self._current.changed.wait(wait)
            self._current.changed.clear()
            if self._stopped:
                return
            wait = _LOOK
            try:
                self._look()
            except Exception as error:  # keep the thread alive, or no backend recovers any more
                self._log.error("Housekeeping failed: %s: %s", type(error).__name__, str(error))
            self.looked.set()

    def _look(self) -> None:
        stamp = self._control.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._commands.obey()
        self._probe()
        self._canaries.look(
            self._current.state.pipeline.cascade.tiers
        )  # after the probes, which show which backends are up

    def _probe(self) -> None:
        state, now = self._current.state, self._clock.monotonic()
        settings, backends = state.settings.probes, state.backends
        if not settings.enabled:
            return
        due = {
            name: backend
            for name, backend in backends.items()
            if self._due.get(name, 0.0) <= now or backend.pause.reason == "loading"
        }
        if not due:
            return
        results = ask_all(due, self._clock, settings.timeout)
        self._read_loads(due, results)
        idle = now - self._current.last_request > _IDLE_AFTER
        for name, health in results.items():
            backend = backends[name]
            self.found[name] = replace(health, body=None)
            self._note(backend, health)
            self.on_probe(name, health.healthy, health.ms)
            if health.healthy and backend.unread and backend.model_known:
                continue  # probe again at once, to read its list of models
            # One that is down is waited for, however long ago the last request came.
            rare = not backend.settings.local or (idle and name not in self._down)
            slow = settings.idle_factor if rare else 1
            self._due[name] = now + settings.interval * slow * random.uniform(
                1 - _JITTER, 1 + _JITTER
            )

    def _read_loads(self, due: dict[str, Backend], results: dict[str, Health]) -> None:
        up = {name: backend for name, backend in due.items() if results[name].healthy}
        servers = {name: backend for name, backend in up.items() if backend.settings.kind == "vllm"}
        limit = min(_LOAD_LIMIT, self._current.state.settings.probes.timeout)
        loads = read_loads(servers, self._clock, limit)
        loaded = read_loaded(up, self._clock, limit)
        for name, backend in due.items():
            backend.load, backend.loaded = loads.get(name), loaded.get(name)

    def _note(self, backend: Backend, health: Health) -> None:
        before = backend.breaker.state
        if health.healthy:
            backend.breaker.probe_passed()
            loaded = backend.pause.reason == "loading"
            if loaded:
                backend.pause.end()
            # A request may have opened its breaker between two probes; this probe has closed it.
            reopened = before != "closed" and backend.breaker.state == "closed"
            if backend.name in self._down or loaded or reopened:
                self._down.discard(backend.name)
                backend.restarted()
                self._due[backend.name] = 0.0  # probe again, to read its current model
        elif health.refused:
            backend.breaker.probe_refused()
        if not health.healthy and not health.silent:
            self._down.add(backend.name)
        if backend.breaker.state != before:
            self._log.warning("Backend %s is %s after a probe", backend.name, backend.breaker.state)
            backend.on_state(backend.name, backend.breaker.state)


def _ignore(_name: str, _up: bool, _ms: float) -> None: ...
