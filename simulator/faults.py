"""The faults of a role, and the table of active faults."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Parameters of each fault with defaults; README.md describes the faults.
CATALOGUE: dict[str, dict[str, Any]] = {
    # the connection
    "refuse": {},
    "reset_before_read": {},
    "reset": {},
    # instead of an answer
    "hang": {},
    "hang_headers": {"interval_ms": 1000},
    "error_status": {"status": 500, "retry_after": None, "body": None},
    "html": {"status": 200},
    "empty_200": {},
    "loading": {},
    # the headers
    "wrong_content_type": {"content_type": "text/plain"},
    "oversized_header": {"bytes": 70_000},
    "early_close_after_headers": {},
    # time
    "slow_first_token": {"ms": 2000},
    "stall": {"after_chunks": 3, "ms": None},
    # the body, as bytes
    "dribble": {},
    "truncated_json": {},
    "cut": {"after_chunks": 3},
    "cut_clean": {"after_chunks": 3},
    "role_only_then_cut": {},
    # a stream's events
    "garbage_event": {"after_chunks": 3, "instead": False},
    "error_event": {"after_chunks": 3},
    "no_done": {},
    "no_finish_reason_with_done": {},
    "usage_missing": {},
    "crlf": {},
    "merged": {"events": 4},
    "keepalive_comments": {"every": 2},
    "finish_in_content_chunk": {},
}

CONNECTION_FAULTS = frozenset(("refuse", "reset_before_read"))
# A server that is loading its model answers nothing else; other faults do not affect health checks
# by default.
EVERY_PATH = frozenset(("loading",))

Faults = dict[str, dict[str, Any]]
NONE: Faults = {}


def parse(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """A name, an object {"fault" or "name": ..., params}, or a list of these; ValueError says what
    is wrong."""
    if isinstance(value, list):
        return [pair for item in value for pair in parse(item)]
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise ValueError("a fault is a name or an object")
    params = dict(value)
    name = params.pop("fault", None) or params.pop("name", None)
    params.pop("name", None)
    if name not in CATALOGUE:
        raise ValueError(f"unknown fault {name!r}")
    return [(name, {**CATALOGUE[name], **params})]


@dataclass(slots=True)
class ActiveFault:
    name: str
    params: dict[str, Any]
    times: int | None = None
    path: str | None = None
    probability: float = 1.0
    skip: int = 0

    def covers(self, path: str, generates: bool) -> bool:
        if self.path is None:
            return generates or self.name in EVERY_PATH
        return self.path in ("*", path)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "times": self.times,
            "path": self.path,
            "probability": self.probability,
            "skip": self.skip,
            "params": self.params,
        }


@dataclass(slots=True)
class FaultTable:
    """The active faults of a role; active until their count is used up or they are cleared."""

    rng: random.Random
    active: list[ActiveFault] = field(default_factory=list)
    marker_uses: Counter[str] = field(default_factory=Counter)

    def add(self, spec: dict[str, Any]) -> list[ActiveFault]:
        spec = dict(spec)
        times, path = spec.pop("times", None), spec.pop("path", None)
        probability, skip = spec.pop("probability", 1.0), spec.pop("skip", 0)
        if times is not None and (not isinstance(times, int) or times < 1):
            raise ValueError("times must be a number of at least 1, or null")
        if path is not None and not isinstance(path, str):
            raise ValueError("path must be a string")
        if not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError("probability must be between 0 and 1")
        if not isinstance(skip, int) or skip < 0:
            raise ValueError("skip must be a number of at least 0")
        added = [
            ActiveFault(name, params, times, path, float(probability), skip)
            for name, params in parse(spec)
        ]
        self.active.extend(added)
        return added

    def clear(self, name: str | None = None) -> list[ActiveFault]:
        gone = [fault for fault in self.active if name in (None, fault.name)]
        self.active = [fault for fault in self.active if fault not in gone]
        if name is None:
            self.marker_uses.clear()
        return gone

    def for_connection(self) -> bool:
        """Whether to reset a new connection."""
        return any(self._use(fault) for fault in self.active if fault.name == "reset_before_read")

    def for_request(self, path: str, generates: bool) -> Faults:
        if not self.active:
            return NONE
        return {
            fault.name: fault.params
            for fault in list(self.active)
            if fault.name not in CONNECTION_FAULTS
            and fault.covers(path, generates)
            and self._use(fault)
        }

    def for_marker(self, value: Any, source: str) -> Faults:
        """Faults requested by the request itself. With "times", later requests with the same
        message are not affected."""
        chosen: Faults = {}
        for name, params in parse(value):
            times = params.pop("times", None)
            if isinstance(times, int):
                key = f"{name}:{source}"
                self.marker_uses[key] += 1
                if self.marker_uses[key] > times:
                    continue
            # A connection can no longer be refused once its request has been read.
            chosen["reset" if name in CONNECTION_FAULTS else name] = params
        return chosen

    def _use(self, fault: ActiveFault) -> bool:
        if fault.skip:
            fault.skip -= 1
            return False
        if fault.probability < 1 and self.rng.random() >= fault.probability:
            return False
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.active = [other for other in self.active if other is not fault]
        return True
