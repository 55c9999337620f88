"""Backends that share slots, and replicas, through reloads."""

from __future__ import annotations

from typing import Any

from doubles import FakeClock

from airouter.resilience.per_process import PerProcess
from airouter.resilience.shares import SharedLimiter
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from app import build_state

A, B, C = "http://a.test", "http://b.test", "http://c.test"


def build(keep: State | None = None, **sections: Any) -> State:
    data = {
        "backends": {
            "fleet": {"urls": [A, B], "model": "m"},
            "small": {"url": C, "model": "s"},
        },
        "routes": {"primary": {"backends": ["fleet"]}},
        "cascade": {"tiers": ["rules"]},
        **sections,
    }
    clock = FakeClock()
    return build_state(Settings.model_validate(data), SILENT, clock, PerProcess(clock), keep)


def share(**changes: Any) -> dict[str, Any]:
    return {"mac": {"backends": ["fleet", "small"], "slots": 2, **changes}}


def test_a_share_of_a_group_has_all_its_replicas() -> None:
    """And speculation is off where it would take the slots of the classifier."""
    state = build(shares=share())
    limiters = [backend.limiter for backend in state.backends.values()]
    assert all(isinstance(limiter, SharedLimiter) for limiter in limiters)
    slots = [limiter.try_acquire() for limiter in limiters]
    assert [slot is not None for slot in slots] == [True, True, False]
    assert all(backend.may_speculate for backend in state.backends.values())
    reasoning = {"tiers": ["reasoning"], "reasoning": {"backend": "small"}}
    state = build(shares=share(), cascade=reasoning)
    assert not any(backend.may_speculate for backend in state.backends.values())


def test_a_reload_keeps_a_share_that_is_the_same() -> None:
    """One that has changed begins anew, as does a backend that leaves it."""
    state = build(shares=share())
    limiters = {name: backend.limiter for name, backend in state.backends.items()}
    same = build(state, shares=share())
    assert {name: backend.limiter for name, backend in same.backends.items()} == limiters
    wider = build(same, shares=share(slots=3))
    assert not {*limiters.values()} & {b.limiter for b in wider.backends.values()}
    alone = build(wider)
    assert not any(isinstance(b.limiter, SharedLimiter) for b in alone.backends.values())


def test_a_replica_is_known_by_its_url() -> None:
    """Whatever its number: one that is out of service stays out, another one with its number is
    in."""
    state = build()
    state.backends["fleet-2"].out = True
    fewer = {"fleet": {"urls": [B, "http://d.test"], "model": "m"}}
    after = build(state, backends=fewer)
    assert {b.url: b.out for b in after.backends.values()} == {B: True, "http://d.test": False}
    again = build(after, backends=fewer)
    assert [*again.backends.values()] == [*after.backends.values()]
