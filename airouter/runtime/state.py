"""Objects that live as long as the process (`Runtime`) or one configuration (`State`)."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, ConfigError
from airouter.domain.ports import Sink
from airouter.flow.exchange import Shutdown
from airouter.proxy.pipeline import Executor
from airouter.proxy.tool_memory import ConversationMemory
from airouter.runtime.canaries import Canaries
from airouter.runtime.control import Control
from airouter.runtime.housekeeper import Housekeeper
from airouter.settings.schema import Settings
from airouter.telemetry.logs import AppLog
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.stats import Stats
from airouter.upstream.backend import Backend
from airouter.upstream.health import HealthChecker

EVENTS = ("model.swap.initiated", "model.swap.completed", "backend.out", "backend.in")


class Closable(Protocol):
    def close(self, timeout: float = 5.0) -> bool: ...


@dataclass(frozen=True, slots=True)
class State:
    """Everything that depends on the configuration; replaced as a whole on reload."""

    settings: Settings
    backends: Mapping[str, Backend]
    executor: Executor
    memory: ConversationMemory
    health: HealthChecker


class Runtime:
    """Built in app.py. A request reads `state` once and keeps using it after a reload.

    Mutable state: `state`, `draining`, `last_request` (plain attributes, replaced as a whole), and
    which commands of the control file have been applied (under a lock).
    """

    def __init__(
        self,
        state: State,
        *,
        rebuild: Callable[[State], State],
        control: Control,
        clock: Clock,
        log: AppLog,
        metrics: Metrics,
        stats: Stats,
        sinks: tuple[Sink, ...],
        writers: Sequence[Closable],
    ) -> None:
        self.state = state
        self.control = control
        self.clock = clock
        self.log = log
        self.metrics = metrics
        self.stats = stats
        self.sinks = sinks
        self.draining = False
        self.shutdown = Shutdown()
        self.last_request = clock.monotonic()
        self._rebuild = rebuild
        self._writers = writers
        now = control.read()
        self._generation = now["generation"]
        self._event_seen = 0
        # The housekeeper and a request to /admin/* may apply the control file concurrently.
        self._obeying = threading.Lock()
        self.housekeeper = Housekeeper(
            lambda: self.state.backends,
            lambda: self.state.settings.probes,
            control,
            self._obey,
            lambda: self.last_request,
            Canaries(lambda: self.state.executor.cascade.tiers, clock, log),
            clock,
            log,
        )

    # Operator commands ------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The number of reloads applied by this worker."""
        return int(self._generation)

    def reload(self) -> None:
        """Reload the configuration in this worker, then in all others; requests in flight keep the
        old one.

        Raises:
            ConfigError: the configuration is invalid; nothing has changed.
        """
        with self._obeying:
            self.state = self._rebuild(self.state)
            self._generation = self.control.reload()
        self.housekeeper.nudge()  # tiers of the new configuration may need canaries
        self.log.info("Configuration reloaded (generation %d)", self._generation)

    def announce(self, event: dict[str, Any]) -> None:
        """Propagate an event to every worker.

        Raises:
            BadRequest: the event is unknown or invalid, or names no backend of this configuration.
        """
        if event.get("event") not in EVENTS:
            raise BadRequest(
                f"'event' must be one of {', '.join(EVENTS)}.", param="event", code="unknown_event"
            )
        if not self._affected(event):
            raise BadRequest(
                f"'backend' (or 'model') must name one of {', '.join(self.state.backends)}.",
                param="backend",
                code="unknown_backend",
            )
        expected = event.get("expected_s", 60)
        if (
            not isinstance(expected, int | float)
            or isinstance(expected, bool)
            or not 0 < expected <= 3600
        ):
            raise BadRequest(
                "'expected_s' must be a number of seconds, at most 3600.",
                param="expected_s",
                code="invalid_type",
            )
        kept = {
            key: event[key]
            for key in ("event", "backend", "model")
            if isinstance(event.get(key), str)
        }
        self.control.event({**kept, "expected_s": expected, "at": self.clock.now().timestamp()})
        self._obey()

    def drain(self, on: bool) -> None:
        """Take this server out of rotation: readiness returns 503; requests are still served."""
        with self._obeying:
            self.draining = on
            self.control.drain(on)

    def stop(self) -> None:
        """Handle SIGTERM: requests in flight may take another `timeouts.drain` seconds. A second
        signal does not extend this."""
        self.draining = True
        self.shutdown.at = min(
            self.shutdown.at, self.clock.monotonic() + self.state.settings.timeouts.drain
        )

    def _obey(self) -> None:
        with self._obeying:
            self._obey_locked(self.control.read())

    def _obey_locked(self, told: dict[str, Any]) -> None:
        self.draining = bool(told["draining"]) or (
            self.draining and self.shutdown.at != float("inf")
        )
        for event in told["events"]:
            if event["seq"] > self._event_seen:
                self._event_seen = event["seq"]
                self._apply(event)
        if told["generation"] != self._generation:
            self._generation = told["generation"]
            try:
                self.state = self._rebuild(self.state)
                self.log.info("Configuration reloaded (generation %d)", self._generation)
            except ConfigError as error:
                self.log.error("The configuration was not reloaded: %s", error.message)

    def _apply(self, event: dict[str, Any]) -> None:
        left = event["expected_s"] - (self.clock.now().timestamp() - event["at"])
        for backend in self._affected(event):
            if event["event"] == "model.swap.initiated" and left > 0:
                backend.pause.begin("model swap", left)
            elif event["event"] == "model.swap.completed":
                backend.restarted()
                backend.pause.end()
            elif event["event"] == "backend.in":
                backend.restarted()
                backend.breaker.probe_passed()  # the operator says that it is up
                backend.out = False
            elif event["event"] == "backend.out":
                backend.out = True
            self.log.info("Event %s for backend %s", event["event"], backend.name)

    def _affected(self, event: dict[str, Any]) -> list[Backend]:
        name, model = event.get("backend"), event.get("model")
        return [
            b
            for b in self.state.backends.values()
            if name == b.name or (name is None and model is not None and model == b.model)
        ]

    # Start and stop ---------------------------------------------------------------

    def start(self) -> None:
        """Start background work; called after the fork."""
        self.metrics.start()
        self.housekeeper.start()

    def close(self) -> None:
        """Write queued records and close idle connections. Idempotent."""
        self.housekeeper.close()
        for writer in self._writers:
            writer.close()
        self.log.close()
        for backend in self.state.backends.values():
            backend.origin.close()
