"""The one background thread of a worker: probes the backends for free, and looks at what the operator asked for."""

import random
import threading
from collections.abc import Callable, Mapping

from airouter.clock import Clock
from airouter.control import Control
from airouter.settings import ProbeSettings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.health import Health, ask_all

_LOOK = 0.5  # seconds between looks at the control file, and the prober's resolution
_JITTER = 0.1
_IDLE_AFTER = 60.0  # seconds without a request after which probing slows down


class Housekeeper:
    """Started after the fork, stopped with the worker. Mutable state: when each backend is probed next; its thread's own."""

    def __init__(
        self,
        backends: Callable[[], Mapping[str, Backend]],
        settings: Callable[[], ProbeSettings],
        control: Control,
        on_control: Callable[[], None],
        last_request: Callable[[], float],
        clock: Clock,
        log: Log,
    ) -> None:
        self._backends = backends
        self._settings = settings
        self._control = control
        self._on_control = on_control
        self._last_request = last_request
        self._clock = clock
        self._log = log
        self._due: dict[str, float] = {}
        self._stamp = (0, 0, 0)
        self._stop = threading.Event()
        self.looked = (
            threading.Event()
        )  # the first probe is over: what the backends serve is known, as far as they are up
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings().timeout + 1)

    def _run(self) -> None:
        wait = 0.0  # at once: what the backends serve is not known yet
        while not self._stop.wait(wait):
            wait = _LOOK
            try:
                self._look()
            except (
                Exception
            ) as error:  # the thread must outlive a surprise, or nothing recovers any more
                self._log.error("Housekeeping failed: %s: %s", type(error).__name__, str(error))
            self.looked.set()

    def _look(self) -> None:
        stamp = self._control.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._on_control()
        self._probe()

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
            slow = settings.idle_factor if idle or not backends[name].settings.local else 1
            self._due[name] = now + settings.interval * slow * random.uniform(
                1 - _JITTER, 1 + _JITTER
            )
            self._note(backends[name], health)

    def _note(self, backend: Backend, health: Health) -> None:
        before = backend.breaker.state
        if health.healthy:
            if backend.breaker.unreached_for is not None:
                backend.relearn()  # whoever restarted it may have given it another model
            backend.breaker.probe_passed()
            if backend.pause.reason == "loading":
                backend.pause.end()
        elif health.refused:
            backend.breaker.probe_refused()
        if backend.breaker.state != before:
            self._log.warning("Backend %s is %s after a probe", backend.name, backend.breaker.state)
