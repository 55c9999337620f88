"""The plan's phases as Locust wants them; each transition is written down for the verdict."""

import time
from typing import Any

import orjson
from locust import LoadTestShape

from load.plan import load_at
from load.setup import PHASES_FILE, Setup


class PlannedShape(LoadTestShape):
    """So many users as the phase wants; the end of the last phase ends the run."""

    abstract = True
    setup: Setup

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._now: int | None = None
        self._users = 0
        self._last_rate = 10.0
        self._phases = list(self.setup.phases)

    def tick(self) -> tuple[int, float] | None:
        found = load_at(self._phases, self.get_run_time())  # type: ignore[no-untyped-call]
        self._note(found[0] if found else len(self._phases))
        if found is None:
            return None
        users = max(1, round(found[1] * self.setup.users))
        change, self._users = abs(users - self._users), users
        return users, self._rate(change)

    def _rate(self, change: int) -> float:
        """Users that come or go per second: all of a change within one, and not a new rate for every tick."""
        if change:
            self._last_rate = float(max(10, change))
        return self._last_rate

    def _note(self, phase: int) -> None:
        if phase == self._now:
            return
        self._now = phase
        with (self.setup.folder / PHASES_FILE).open("ab") as file:
            file.write(orjson.dumps({"phase": phase, "at": time.monotonic()}) + b"\n")
