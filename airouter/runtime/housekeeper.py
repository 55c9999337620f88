"""The background thread of a worker: probes backends, starts canaries, and applies commands from
/admin/*."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from airouter.domain.clock import Clock
from airouter.runtime.canaries import Canaries
from airouter.runtime.control import Control
from airouter.settings.schema import ProbeSettings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.health import Health, ask_all

_LOOK = 0.5  # seconds between checks of the control file and of probes that are due
_JITTER = 0.1
_IDLE_AFTER = 60.0  # seconds without a request after which probing slows down


class Housekeeper:
    """Started after the fork, stopped with the worker. Mutable state: when each backend is probed
    next, and whether it was down at the last probe; used by its thread only."""

    def __init__(
        self,
        backends: Callable[[], Mapping[str, Backend]],
        settings: Callable[[], ProbeSettings],
        control: Control,
        on_control: Callable[[], None],
        last_request: Callable[[], float],
        canaries: Canaries,
        clock: Clock,
        log: Log,
    ) -> None:
        self._backends = backends
        self._settings = settings
        self._control = control
        self._on_control = on_control
        self._last_request = last_request
        self._canaries = canaries
        self._clock = clock
        self._log = log
        self._due: dict[str, float] = {}
        self._down: set[str] = set()
        self._stamp = (0, 0, 0)
        self._stopped = False
        self._wake = threading.Event()
        # Set after the first probe: the models of reachable backends are known.
        self.looked = threading.Event()
        self.found: dict[str, Health] = {}  # result of the last probe by backend
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._settings().timeout + 1)
        self._canaries.close()

    def nudge(self) -> None:
        """Check at once, because something has changed."""
        self._wake.set()

    def _run(self) -> None:
        wait = 0.0  # at once: the backends' models are not known yet
        while True:
            self._wake.wait(wait)
            self._wake.clear()
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
            self._on_control()
        self._probe()
        self._canaries.look()  # after the probes, which show which backends are up

    def _probe(self) -> None:
        now, settings = self._clock.monotonic(), self._settings()
        if not settings.enabled:
            return
        backends = self._backends()
        due = {
            name: backend
            for name, backend in backends.items()
            if self._due.get(name, 0.0) <= now or backend.pause.reason == "loading"
        }
        if not due:
            return
        results = ask_all(due, self._clock, settings.timeout)
        idle = now - self._last_request() > _IDLE_AFTER
        for name, health in results.items():
            backend = backends[name]
            self.found[name] = replace(health, body=None)
            self._note(backend, health)
            if health.healthy and backend.unread and backend.model_known:
                continue  # probe again at once, to read its list of models
            # One that is down is waited for, however long ago the last request came.
            rare = not backend.settings.local or (idle and name not in self._down)
            slow = settings.idle_factor if rare else 1
            self._due[name] = now + settings.interval * slow * random.uniform(
                1 - _JITTER, 1 + _JITTER
            )

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
