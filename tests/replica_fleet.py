"""Backends with replicas, on a clock that jumps; none of them is called."""

from __future__ import annotations

from typing import Any

from doubles import FakeClock

from airouter.resilience.per_process import PerProcess
from airouter.resilience.traffic import Table, Traffic
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from app import build_state

URLS = ("http://a.test", "http://b.test", "http://c.test")


def fleet(
    *urls: str, clock: FakeClock | None = None, sections: dict[str, Any] | None = None, **spec: Any
) -> State:
    """The state of a configuration whose backend `fleet` has replicas at these URLs."""
    one = {"kind": "vllm", "urls": urls or URLS, "model": "m", "slots": 8, **spec}
    data = {
        "backends": {"fleet": one},
        "routes": {"primary": {"backends": ["fleet"]}},
        "cascade": {"tiers": ["rules"]},
        **(sections or {}),
    }
    clock = clock or FakeClock()
    state = build_state(Settings.model_validate(data), SILENT, clock, PerProcess(clock))
    table = Table()
    for backend in state.backends.values():
        backend.traffic = Traffic(backend.name, table)  # not that of other tests
    return state


def talk(number: int) -> list[dict[str, str]]:
    """How a conversation begins."""
    return [{"role": "user", "content": f"Conversation {number}"}]
