"""What lives as long as the process, and what lives as long as one configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from airouter.clock import Clock
from airouter.execution.executor import Executor
from airouter.ports import Sink
from airouter.settings import Settings
from airouter.telemetry.logs import AppLog
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.stats import Stats
from airouter.upstream.backend import Backend
from airouter.upstream.health import HealthChecker


class Closable(Protocol):
    def close(self, timeout: float = 5.0) -> bool: ...


@dataclass(frozen=True, slots=True)
class State:
    """Everything that follows from one configuration; replaced as a whole."""

    settings: Settings
    backends: Mapping[str, Backend]
    executor: Executor
    health: HealthChecker


class Runtime:
    """Built in app.py. `state` is the one mutable attribute; a request reads it once and keeps what it read."""

    def __init__(
        self, state: State, *, clock: Clock, log: AppLog, metrics: Metrics, stats: Stats, sinks: tuple[Sink, ...], sessions: Closable
    ) -> None:
        self.state = state
        self.clock = clock
        self.log = log
        self.metrics = metrics
        self.stats = stats
        self.sinks = sinks
        self._sessions = sessions

    def close(self) -> None:
        """Write out what is waiting and close idle connections. Idempotent."""
        self._sessions.close()
        self.log.close()
        for backend in self.state.backends.values():
            backend.origin.close()
