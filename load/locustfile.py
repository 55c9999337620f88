"""What Locust loads: the users, the shape where one was chosen, and the file that each process
writes its samples to."""

import time
from typing import Any

import orjson
from locust import LoadTestShape, events

from load.client import Writer
from load.plan import PHASES_FILE, load_at
from load.users import SETUP, USERS

globals().update({user.__name__: user for user in USERS})  # where Locust looks for them

if SETUP.phases:

    class PlannedShape(LoadTestShape):
        """So many users as the phase wants; the end of the last phase ends the run. When each phase
        begins is written down for the verdict."""

        _now: int | None = None
        _users = 0
        _rate = 10.0  # users that come or go per second

        def tick(self) -> tuple[int, float] | None:
            phases = list(SETUP.phases)
            found = load_at(phases, self.get_run_time())  # type: ignore[no-untyped-call]
            self._note(found[0] if found else len(phases))
            if found is None:
                return None
            users = max(1, round(found[1] * SETUP.users))
            if change := abs(users - self._users):
                # All of a change within a second, and not a new rate for every tick.
                self._rate = float(max(10, change))
            self._users = users
            return users, self._rate

        def _note(self, phase: int) -> None:
            if phase != self._now:
                self._now = phase
                with (SETUP.folder / PHASES_FILE).open("ab") as file:
                    file.write(orjson.dumps({"phase": phase, "at": time.monotonic()}) + b"\n")


_writer = Writer(SETUP.folder)


@events.request.add_listener  # type: ignore[untyped-decorator]
def _keep(context: dict[str, Any] | None = None, **_: Any) -> None:
    if context and "sample" in context:
        _writer.add(context["sample"])


@events.quit.add_listener  # type: ignore[untyped-decorator]
def _close(**_: Any) -> None:
    _writer.close()
