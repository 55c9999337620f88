"""Operator commands: reload, drain, events about backends. They reach every worker through the
control file."""

import threading
from collections.abc import Callable
from typing import Any

from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, ConfigError
from airouter.flow.waits import INFINITY
from airouter.runtime.control import Control
from airouter.runtime.state import Current, State
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

EVENTS = ("model.swap.initiated", "model.swap.completed", "backend.out", "backend.in")


class Commands:
    """Of one worker. Mutable state: which commands of the control file have been applied; one lock.

    Args:
        rebuild: builds the state of the configuration as it is now.
    """

    def __init__(
        self,
        current: Current,
        control: Control,
        rebuild: Callable[[State], State],
        clock: Clock,
        log: Log,
    ) -> None:
        self._current = current
        self._control = control
        self._rebuild = rebuild
        self._clock = clock
        self._log = log
        self._generation = control.read()["generation"]
        self._event_seen = 0
        # The housekeeper and a request to /admin/* may apply the control file concurrently.
        self._obeying = threading.Lock()

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
            self._current.state = self._rebuild(self._current.state)
            self._generation = self._control.reload()
        self._current.changed.set()  # tiers of the new configuration may need canaries
        self._log.info("Configuration reloaded (generation %d)", self._generation)

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
            state = self._current.state
            raise BadRequest(
                "'backend' (or 'model') must name one of "
                f"{', '.join((*state.settings.groups, *state.backends))}.",
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
        self._control.event({**kept, "expected_s": expected, "at": self._clock.now().timestamp()})
        self.obey()

    def drain(self, on: bool) -> None:
        """Take this server out of rotation: readiness returns 503; requests are still served."""
        with self._obeying:
            self._current.draining = on
            self._control.drain(on)

    def stop(self) -> None:
        """Handle SIGTERM: requests in flight may take another `timeouts.drain` seconds. A second
        signal does not extend this."""
        self._current.draining = True
        self._current.shutdown.at = min(
            self._current.shutdown.at,
            self._clock.monotonic() + self._current.state.settings.timeouts.drain,
        )

    def obey(self) -> None:
        """Apply what the control file says, in the housekeeper's thread or a request's."""
        with self._obeying:
            self._apply_all(self._control.read())

    def _apply_all(self, told: dict[str, Any]) -> None:
        self._current.draining = bool(told["draining"]) or (
            self._current.draining and self._current.shutdown.at != INFINITY
        )
        for event in told["events"]:
            if event["seq"] > self._event_seen:
                self._event_seen = event["seq"]
                self._apply(event)
        if told["generation"] != self._generation:
            self._generation = told["generation"]
            try:
                self._current.state = self._rebuild(self._current.state)
                self._log.info("Configuration reloaded (generation %d)", self._generation)
            except ConfigError as error:
                self._log.error("The configuration was not reloaded: %s", error.message)

    def _apply(self, event: dict[str, Any]) -> None:
        left = event["expected_s"] - (self._clock.now().timestamp() - event["at"])
        for backend in self._affected(event):
            if event["event"] == "model.swap.initiated" and left > 0:
                backend.pause.begin("model swap", left)
            elif event["event"] == "model.swap.completed":
                backend.restarted()
                backend.pause.end()
            elif event["event"] == "backend.in":
                backend.restarted()
                backend.breaker.probe_passed()  # the operator says that it is up
                backend.put_back()
            elif event["event"] == "backend.out":
                backend.out = True
            self._log.info("Event %s for backend %s", event["event"], backend.name)

    def _affected(self, event: dict[str, Any]) -> list[Backend]:
        name, model = event.get("backend"), event.get("model")
        return [
            b
            for b in self._current.state.backends.values()
            if (name is not None and name in (b.name, b.group))
            or (name is None and model is not None and model == b.model)
        ]
