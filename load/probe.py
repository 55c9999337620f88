"""Beside the load, now and then: what the router adds to a small request, and how busy its primary
is."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.client import Connection, Failure
from bench.prompts import body
from bench.sampling import Periodic
from bench.stand import Stand

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


class Probe(Periodic):
    """`with Probe(target) as probe: ...`, then `probe.looks`."""

    def __init__(self, target: Stand) -> None:
        super().__init__(_PAUSE_S)
        self.looks: list[Look] = []
        model = target.explicit_model
        self._router = Connection(target.router, timeout=_LIMIT_S)
        self._direct = Connection(target.direct, timeout=_LIMIT_S) if target.direct else None
        self._routed = target.router.chat(body(_TINY, model, max_tokens=1))
        self._straight = (target.direct or target.router).chat(
            body(_TINY, target.primary_model, max_tokens=1)
        )

    def look(self) -> None:
        at, added = time.monotonic(), None
        backend: Mapping[str, Any] = {}
        # A router that is too busy for this is judged by what its users see.
        with suppress(Failure, ValueError, TypeError, AttributeError):
            if self._direct is not None:
                straight = self._direct.timed(self._straight)
                added = self._router.timed(self._routed) - straight
            backends = self._router.get("/stats").json().get("backends", {})
            backend = backends.get("primary") or next(iter(backends.values()), {})
        self.looks.append(Look(at, added, backend.get("in_use"), backend.get("waiting")))
