"""Beside the load, now and then: what the router adds to a small request, and how busy its primary
is."""

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from bench.client import Connection, Failure
from bench.prompts import body
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


class Probe:
    """`with Probe(target) as probe: ...`, then `probe.looks`."""

    def __init__(self, target: Stand) -> None:
        self.looks: list[Look] = []
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_LIMIT_S + 1)

    def _run(self) -> None:
        target, model = self._target, self._target.explicit_model
        with Connection(target.router, timeout=_LIMIT_S) as router, ExitStack() as stack:
            routed = target.router.chat(body(_TINY, model, max_tokens=1))
            if target.direct is not None:
                direct = stack.enter_context(Connection(target.direct, timeout=_LIMIT_S))
                wire = target.direct.chat(body(_TINY, target.primary_model, max_tokens=1))
            while not self._stop.wait(_PAUSE_S):
                at, added = time.monotonic(), None
                backend: Mapping[str, Any] = {}
                # A router that is too busy for this is judged by what its users see.
                with suppress(Failure, ValueError, TypeError, AttributeError):
                    if target.direct is not None:
                        straight = direct.checked(wire).seconds
                        added = router.checked(routed).seconds - straight
                    backends = router.get("/stats").json().get("backends", {})
                    backend = backends.get("primary") or next(iter(backends.values()), {})
                look = Look(at, added, backend.get("in_use"), backend.get("waiting"))
                self.looks.append(look)
