"""Everything of one worker process, as the API and gunicorn see it."""

import atexit
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from airouter.domain.clock import Clock
from airouter.domain.ports import Sink
from airouter.runtime.commands import Commands
from airouter.runtime.housekeeper import Housekeeper
from airouter.runtime.memory import keep_memory_small
from airouter.runtime.state import Current, State
from airouter.telemetry.logs import AppLog, install_stdlib_handler
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.stats import Stats


class Writer(Protocol):
    @property
    def pressed(self) -> bool: ...

    def close(self, timeout: float = 5.0) -> bool: ...


class Service(Protocol):
    def start(self) -> None: ...

    def close(self) -> None: ...


class Runtime:
    """Built in `app.py`; starts nothing until `start()`. Mutable state: whether it has started.

    Args:
        sinks: receive the record of every exchange.
        writers: have records to write before the process ends.
        services: run beside the requests.
    """

    def __init__(
        self,
        current: Current,
        commands: Commands,
        housekeeper: Housekeeper,
        *,
        clock: Clock,
        log: AppLog,
        metrics: Metrics,
        stats: Stats,
        sinks: tuple[Sink, ...],
        writers: Sequence[Writer],
        services: Sequence[Service] = (),
    ) -> None:
        self.current = current
        self.commands = commands
        self.housekeeper = housekeeper
        self.clock = clock
        self.log = log
        self.metrics = metrics
        self.stats = stats
        self.sinks = sinks
        self._writers = writers
        self._services = services
        self.on_ready: Callable[[float], None] = _ignore  # told how long a readiness check took
        self.started = False
        self._starting = threading.Lock()

    @property
    def state(self) -> State:
        """Of the current configuration."""
        return self.current.state

    @property
    def draining(self) -> bool:
        return self.current.draining

    @property
    def pressed(self) -> bool:
        """Whether the queue of log lines or of session records is nearly full, so that accepting
        further requests at once may lose some. Cheap: takes no lock."""
        return self.log.pressed or any(writer.pressed for writer in self._writers)

    def start(self) -> None:
        """Start background work: after the fork, at the first request at the latest. Idempotent."""
        with self._starting:
            if self.started:
                return
            self.started = True
        keep_memory_small()
        install_stdlib_handler(self.log)
        self.metrics.start()
        for service in self._services:
            service.start()
        self.housekeeper.start()
        atexit.register(self.close)

    def stop(self) -> None:
        """Handle SIGTERM: requests in flight may take another `timeouts.drain` seconds. A second
        signal does not extend this."""
        self.commands.stop()

    def close(self) -> None:
        """Stop background work, write queued records, close idle connections. Idempotent."""
        self.housekeeper.close()
        for writer in self._writers:
            writer.close()
        for service in self._services:
            service.close()
        self.log.close()
        self.metrics.close()
        for backend in self.state.backends.values():
            backend.origin.close()
        atexit.unregister(self.close)


def _ignore(_seconds: float) -> None: ...
