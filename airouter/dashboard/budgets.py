"""Objectives, their error budgets over time, and alerts: the event `objectives`."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import orjson

from airouter.domain.clock import Clock
from airouter.index.reading import NAME, UNREADABLE, is_made, read_only
from airouter.settings.schema import Settings
from airouter.slo.counts import Counts
from airouter.slo.objectives import Objective, Profile

EVERY = 15.0  # seconds; the engine evaluates every 30 s by default
SWITCHED_OFF = (
    "Objectives are not evaluated; set slo.enabled and index.enabled to true to see error budgets."
)
_POINTS = 48  # of a burn-down
_DAY = 86_400
_ALERTS = (
    "SELECT listed FROM alerts "
    "ORDER BY state = 'resolved', state = 'pending', severity = 'info', severity, since DESC"
)


class Budgets:
    """Mutable state: the counts of the last 30 days; used by one thread.

    Args:
        settings: those of the current configuration.
    """

    def __init__(
        self, profiles: Sequence[Profile], settings: Callable[[], Settings], clock: Clock
    ) -> None:
        self._objectives = {o.name: o for profile in profiles for o in profile.objectives}
        self._settings, self._clock = settings, clock
        self._counts = Counts()

    def event(self) -> dict[str, Any]:
        """The event's data: what `/metrics/summary` and `/metrics/alerts` say, and burn-downs."""
        settings = self._settings()
        nothing: dict[str, Any] = {"evaluated_at": None, "objectives": [], "alerts": []}
        if not (settings.slo.enabled and settings.index.enabled):
            return nothing | {"problem": SWITCHED_OFF}
        path = settings.logging.dir / NAME
        if not path.exists():
            return nothing | {"problem": ""}
        now = self._clock.time()
        try:
            with closing(read_only(path)) as connection:
                if not is_made(connection):
                    return nothing | {"problem": ""}
                summaries = connection.execute("SELECT summary, at FROM slo_summary").fetchall()
                alerts = connection.execute(_ALERTS).fetchall()
                self._counts.read(connection, now)
        except sqlite3.Error:
            self._counts = Counts()
            return nothing | {"problem": UNREADABLE}
        rows = [orjson.loads(text) for text, _ in summaries]
        rows.sort(key=_by_budget)
        return {
            "problem": "",
            "evaluated_at": max((at for _, at in summaries), default=None),
            "objectives": [row | self._burnt(row["slo"], now) for row in rows],
            "alerts": [orjson.loads(text) for (text,) in alerts],
        }

    def _burnt(self, slo: str, now: float) -> dict[str, Any]:
        objective = self._objectives.get(slo)
        if objective is None:  # of a profile that was chosen before
            return {"days": None, "burn_down": {"t": [], "left": []}}
        return {"days": objective.days, "burn_down": burn_down(objective, self._counts, now)}


def burn_down(objective: Objective, counts: Counts, now: float) -> dict[str, list[float]]:
    """How the budget of the window that ends now has been used up: the part that was left at each
    time `t`, from 1, of the budget that all events of the window allow."""
    window = objective.days * _DAY
    good, bad = counts.within(objective.name, window, now)
    allowed = (good + bad) * objective.budget
    if not allowed:
        return {"t": [], "left": []}
    first = counts.first(objective.name)
    start = max(now - window, (first or now) - 60)
    times = [start + (now - start) * i / (_POINTS - 1) for i in range(_POINTS)]
    left = []
    for at in times:
        _, since = counts.within(objective.name, now - at, now)
        left.append(round(1 - (bad - since) / allowed, 4))
    return {"t": [round(at, 1) for at in times], "left": left}


def _by_budget(row: dict[str, Any]) -> tuple[bool, bool, float]:
    """The least left first; then those without events, and those that only inform."""
    left = row["budget_left"]
    return row["informational"], left is None, 0.0 if left is None else left
