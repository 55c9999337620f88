"""A role: settings, state, and requests in flight."""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import Any

from aiohttp import web

from simulator.faults import Faults, FaultTable
from simulator.mapping import Mapping
from simulator.prefix_cache import PrefixCache
from simulator.profiles import Range, RoleProfile
from simulator.slots import Slots
from simulator.stats import Stats
from simulator.wire import Wire


class Role:
    def __init__(self, name: str, profile: RoleProfile) -> None:
        self.name = name
        self._base = profile
        self.profile = profile
        self.stats = Stats()
        self.slots = Slots(profile.slots)
        self.cache = PrefixCache(profile.prefix_cache_blocks)
        self._grammar_at: float | None = None  # when the grammar library is loaded
        self._seed()

    def _seed(self) -> None:
        # The same seed for each run, so that the same requests take the same time.
        self.rng = random.Random(zlib.crc32(self.name.encode()))
        self.faults = FaultTable(self.rng)
        self.mapping = Mapping()

    def constrained(self, now: float) -> float:
        """Seconds for which a constrained request waits for the grammar library, loaded by the
        first one."""
        if self._grammar_at is None:
            self._grammar_at = now + self.profile.first_constrained_ms / 1000
        return max(0.0, self._grammar_at - now)

    def configure(self, changes: dict[str, Any]) -> None:
        self._use(self.profile.override(changes))

    def reset(self) -> None:
        """Reset counters, faults, settings and cache. Requests in flight continue."""
        self.stats.reset()
        self._seed()
        self.cache.clear()
        self._use(self._base)
        self.slots.max_running = self.slots.running

    def _use(self, profile: RoleProfile) -> None:
        self.profile = profile
        self._grammar_at = None
        self.slots.resize(profile.slots)
        self.cache.capacity = profile.prefix_cache_blocks

    def draw(self, bounds: Range) -> float:
        low, high = bounds
        return low if low == high else self.rng.uniform(low, high)

    def serves(self, model: str) -> bool:
        return model == self.profile.model or model in self.profile.models

    def as_dict(self) -> dict[str, Any]:
        return {
            "role": self.name,
            **self.stats.as_dict(),
            "running": self.slots.running,
            "waiting": self.slots.waiting,
            "max_running": self.slots.max_running,
            "active_faults": [fault.as_dict() for fault in self.faults.active],
        }


class Exchange:
    """A request in flight."""

    __slots__ = (
        "body",
        "faults",
        "loop",
        "path",
        "phase",
        "request",
        "role",
        "sim",
        "started",
        "tokens",
        "wire",
    )

    def __init__(self, role: Role, request: web.BaseRequest, wire: Wire, path: str) -> None:
        self.role = role
        self.request = request
        self.wire = wire
        self.path = path
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.phase = "before_headers"
        self.tokens = 0
        self.body: dict[str, Any] = {}
        self.sim: dict[str, Any] = {}
        self.faults: Faults = {}

    async def take_slot(self) -> None:
        """Wait for one of the role's slots; the caller gives it back."""
        if not self.role.slots.try_acquire():
            self.phase = "queued"
            await self.role.slots.acquire()

    def generated(self, tokens: int) -> None:
        self.tokens += tokens
        self.role.stats.tokens_generated += tokens

    def number(self, name: str) -> float | None:
        """A number among the per-request overrides."""
        value = self.sim.get(name)
        return (
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        )


async def never() -> None:
    """Wait until the client goes away: its disconnect cancels the handler."""
    await asyncio.get_running_loop().create_future()
