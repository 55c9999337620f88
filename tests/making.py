"""Parts of the router for tests of one part: a backend, and a poll() for calls."""

from typing import Any

from airouter.domain.clock import Clock
from airouter.flow.driver import Poller
from airouter.resilience.per_process import PerProcess
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend
from airouter.upstream.transport.call import Call
from providers import KINDS


def make_backend(
    name: str, spec: BackendSettings, clock: Any, *, queue: int = 4, **parts: Any
) -> Backend:
    """A backend with a limiter and a breaker of its own; `parts` are further arguments."""
    local = PerProcess(clock)
    breaker = local.breaker(
        name,
        threshold=spec.breaker_fails,
        reset=spec.breaker_reset,
        allowed_fails=spec.allowed_fails,
        cooldown=spec.cooldown,
    )
    limiter = local.limiter(name, spec.slots, queue)
    return Backend(
        name, spec, KINDS[spec.kind], clock, **{"limiter": limiter, "breaker": breaker} | parts
    )


class Waiter:
    """Calls that are waited for together."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[Call] = []
        self._poller = Poller(clock)

    def add(self, call: Call) -> Call:
        self.calls.append(call)
        return call

    def wait(self, until: float) -> None:
        self._poller.wait(self.calls, until)
