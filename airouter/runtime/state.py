"""What every part of a worker shares: the state of the current configuration, and what operators
have asked for."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from airouter.domain.clock import Clock
from airouter.flow.exchange import Exchange, Shutdown
from airouter.mapper.service import Mapper
from airouter.proxy.pipeline import Pipeline
from airouter.proxy.session_memory import SessionMemory
from airouter.resilience.rate_limits import RateLimits
from airouter.runtime.access import Access
from airouter.settings.schema import Settings
from airouter.upstream.backend import Backend
from airouter.upstream.health import HealthChecker


@dataclass(frozen=True, slots=True)
class State:
    """Everything that depends on the configuration; replaced as a whole on reload."""

    settings: Settings
    backends: Mapping[str, Backend]
    pipeline: Pipeline
    memory: SessionMemory
    health: HealthChecker
    access: Access
    rates: RateLimits
    mapper: Mapper


class Current:
    """Mutable state of a worker: plain attributes, each replaced as a whole. A request reads
    `state` once and keeps using it after a reload."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.state = state
        self.draining = False
        self.shutdown = Shutdown()
        self.exchanges: set[Exchange] = set()  # under way
        self.last_request = clock.monotonic()  # when the latest POST began
        self.changed = threading.Event()  # the housekeeper should look at once
