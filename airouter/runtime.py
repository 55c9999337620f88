"""What lives as long as the process, and what lives as long as one configuration."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airouter.canaries import Canaries
from airouter.clock import Clock
from airouter.control import Control
from airouter.errors import BadRequest, ConfigError
from airouter.exchange.exchange import Shutdown
from airouter.execution.executor import Executor
from airouter.housekeeper import Housekeeper
from airouter.ports import Sink
from airouter.routing.memory import ConversationMemory
from airouter.settings import Settings
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
    """Everything that follows from one configuration; replaced as a whole."""

    settings: Settings
    backends: Mapping[str, Backend]
    executor: Executor
    memory: ConversationMemory
    health: HealthChecker


class Runtime:
    """Built in app.py. A request reads `state` once and keeps what it read.

    Mutable state: `state`, `draining`, `last_request` (plain attributes, replaced whole), and what of the control file
    was already obeyed (under a lock).
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
        self._obeying = (
            threading.Lock()
        )  # the housekeeper and a request to /admin/* may read the control file at once
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

    # What the operator asks for -------------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """How often the configuration has been reloaded, as far as this worker knows."""
        return int(self._generation)

    def reload(self) -> None:
        """Take up the configuration as it is now, here and then in every worker; requests under way keep theirs.

        Raises:
            ConfigError: it cannot be used; nothing has changed.
        """
        with self._obeying:
            self.state = self._rebuild(self.state)
            self._generation = self.control.reload()
        self.housekeeper.nudge()  # the new configuration's tiers may need their canaries
        self.log.info("Configuration reloaded (generation %d)", self._generation)

    def announce(self, event: dict[str, Any]) -> None:
        """Tell every worker of an event.

        Raises:
            BadRequest: it is not one, or names no backend of this configuration.
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
        """Take this server out of its load balancer: readiness answers 503; what comes is still served."""
        with self._obeying:
            self.draining = on
            self.control.drain(on)

    def stop(self) -> None:
        """SIGTERM: requests under way may go on for `timeouts.drain` seconds. A second one does not lengthen that."""
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
                backend.breaker.probe_passed()  # whoever brings it back has seen it up
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

    # Beginning and end ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """After the fork."""
        self.metrics.start()
        self.housekeeper.start()

    def close(self) -> None:
        """Write out what is waiting and close idle connections. Idempotent."""
        self.housekeeper.close()
        for writer in self._writers:
            writer.close()
        self.log.close()
        for backend in self.state.backends.values():
            backend.origin.close()
