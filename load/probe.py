"""Beside the load, now and then: what the router adds to a small request, and how busy its primary is."""

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.client import CHAT, Connection, Failure
from bench.prompts import body
from load.stand import Target

_PAUSE_S = 0.2
_LIMIT_S = 10.0
_TINY = 'Say one word. [[sim {"ttft_ms": 0, "tokens": 1}]]'


@dataclass(frozen=True, slots=True)
class Look:
    """`at` on the clock of the samples; `added` in seconds."""

    at: float
    added: float | None
    in_use: int | None
    waiting: int | None


@dataclass(slots=True)
class Probe:
    """`with Probe(target) as probe: ...`, then `probe.looks`."""

    target: Target
    looks: list[Look] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Probe":
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LIMIT_S + 1)

    def _run(self) -> None:
        target = self.target
        with ExitStack() as stack:
            router = stack.enter_context(Connection(target.endpoint, timeout=_LIMIT_S))
            direct = (
                stack.enter_context(Connection(target.direct, timeout=_LIMIT_S))
                if target.direct
                else None
            )
            routed_wire = target.endpoint.wire(
                CHAT, body(_TINY, f"{target.virtual_model}/primary", max_tokens=1)
            )
            while not self._stop.wait(_PAUSE_S):
                at, added = time.monotonic(), None
                in_use = waiting = None
                try:
                    if direct is not None and target.direct is not None:
                        wire = target.direct.wire(
                            CHAT, body(_TINY, target.primary_model or "", max_tokens=1)
                        )
                        straight = direct.checked(wire).seconds
                        added = router.checked(routed_wire).seconds - straight
                    backend = _primary(router.get("/stats").json())
                    in_use, waiting = backend.get("in_use"), backend.get("waiting")
                except (Failure, ValueError, TypeError):
                    pass  # a router that is too busy for this is judged by what its users see
                self.looks.append(Look(at, added, in_use, waiting))


def _primary(stats: Any) -> Mapping[str, Any]:
    backends = stats.get("backends", {}) if isinstance(stats, dict) else {}
    found: Mapping[str, Any] = backends.get("primary") or next(iter(backends.values()), {})
    return found
