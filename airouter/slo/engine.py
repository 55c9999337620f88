"""Evaluates the objectives every 30 seconds in one of the workers, for those without Prometheus."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from airouter.domain.clock import Clock
from airouter.index.index import open_for_writing
from airouter.index.leader import Leader
from airouter.settings.slo import SloSettings
from airouter.slo.counts import Counts
from airouter.slo.evaluate import State, advanced, budget_left, conditions, summary
from airouter.slo.names import runbook_url
from airouter.slo.objectives import PRIORITY, Profile
from airouter.slo.webhook import payload, send
from airouter.telemetry.logs import Log

_KILL_SWITCH = ("MAPPER_SERVING_MODE", "rules_only")
_STOP = 5.0  # seconds
_SWITCHED = "mapper-by-model"
_COLUMNS = "name, severity, state, slo, since, value, threshold, budget_left, told"


class Engine:
    """Mutable state: the thread, and what it has read; the alerts' states are in the index, so that
    they survive it.

    Args:
        index: the database's path.
        publish: given (alerts, budgets left by objective) after each evaluation, for the metrics.
        source: the router's address, for notifications.
        rules_only: whether the mapper serves by its rules alone, on purpose: that it does is then
            no alert.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        settings: SloSettings,
        index: Path,
        *,
        clock: Clock,
        log: Log,
        publish: Callable[[list[dict[str, Any]], dict[str, float]], None],
        source: str = "",
        rules_only: Callable[[], bool] | None = None,
    ) -> None:
        self._profiles, self._settings, self._index = profiles, settings, index
        self._clock, self._log, self._publish, self._source = clock, log, publish, source
        self._rules_only = rules_only or _by_environment
        self._leader = Leader(index.with_name("index.lock"))
        self._counts = Counts()
        self._failed = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with suppress(OSError):  # said when it is evaluated
            self._index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="slo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_STOP)
        self._leader.close()

    @property
    def leads(self) -> bool:
        """Whether this worker is the one that does what is to be done once."""
        return self._leader.try_lead()

    def _run(self) -> None:
        while not self._stopped.wait(self._settings.every):
            if self.leads:
                self._guarded()

    def _guarded(self) -> None:
        try:
            self.evaluate()
            self._failed = False
        except Exception as error:  # keep the thread alive
            self._counts = Counts()
            if not self._failed:
                self._failed = True
                self._log.warning(
                    "The objectives cannot be evaluated: %s", str(error) or type(error).__name__
                )

    def evaluate(self) -> list[dict[str, Any]]:
        """Evaluate now, keep the result in the index, tell the webhook what has changed.

        Returns:
            The alerts, as `/metrics/alerts` lists them.

        Raises:
            sqlite3.Error, OSError, NewerIndex: the index cannot be used.
        """
        now = self._clock.time()
        with closing(open_for_writing(self._index)) as connection:
            self._counts.read(connection, now)
            alerts = self._alerts(connection, now)
            news = [a for a in alerts if a["state"] != "pending" and a["told"] != _told(a)]
            if news:
                self._tell(news)
            self._keep(connection, alerts, now)
        budgets = {
            o.name: left
            for profile in self._profiles
            for o in profile.objectives
            if (left := budget_left(o, self._counts, now)) is not None
        }
        self._publish(alerts, budgets)
        return alerts

    def _alerts(self, connection: sqlite3.Connection, now: float) -> list[dict[str, Any]]:
        before = {
            (name, severity): (State(state, since), told)
            for name, severity, state, since, told in connection.execute(
                "SELECT name, severity, state, since, told FROM alerts"
            )
        }
        objectives = {o.name: o for profile in self._profiles for o in profile.objectives}
        switched = self._rules_only()
        alerts = []
        for condition in conditions(self._profiles, self._counts, now):
            known, told = before.get((condition.name, condition.severity), (None, None))
            state = advanced(known, condition, now)
            if state is None:
                continue
            severity = condition.severity
            info = switched and condition.slo == _SWITCHED
            left = budget_left(objectives[condition.slo], self._counts, now)
            alerts.append(
                {
                    "name": condition.name,
                    "state": state.state,
                    "severity": "info" if info else severity,
                    "priority": "" if info else PRIORITY[severity],
                    "since": state.since,
                    "value": condition.value,
                    "threshold": condition.threshold,
                    "slo": condition.slo,
                    "budget_left": left,
                    "description": condition.description,
                    "runbook": runbook_url(self._settings.runbooks, condition.runbook),
                    "told": told,
                    "kept_as": severity,
                }
            )
        return alerts

    def _tell(self, news: list[dict[str, Any]]) -> None:
        for alert in news:
            self._log.warning(
                "Alert %s is %s: severity=%s slo=%s value=%s threshold=%s",
                alert["name"],
                alert["state"],
                alert["severity"],
                alert["slo"],
                "none" if alert["value"] is None else f"{alert['value']:.4g}",
                f"{alert['threshold']:.4g}",
            )
        heard = [a for a in news if a["severity"] != "info"]
        problem = ""
        if self._settings.webhook and heard:
            body = payload(heard, self._source)
            problem = send(self._settings.webhook, body, self._stopped.wait)
        if problem:  # it is tried again at the next evaluation
            self._log.warning("The webhook was not told of alerts: %s", problem)
        for alert in news:
            if alert["severity"] == "info" or not problem:
                alert["told"] = _told(alert)

    def _keep(
        self, connection: sqlite3.Connection, alerts: list[dict[str, Any]], now: float
    ) -> None:
        # Made before the transaction, which other writers wait for.
        rows = [
            (
                a["name"],
                a["kept_as"],
                a["state"],
                a["slo"],
                a["since"],
                a["value"],
                a["threshold"],
                a["budget_left"],
                a["told"],
                json.dumps({k: v for k, v in a.items() if k not in ("told", "kept_as")}),
            )
            for a in alerts
        ]
        summaries = [
            (o.name, now, json.dumps(summary(o, self._counts, now)))
            for profile in self._profiles
            for o in profile.objectives
            if o.target is not None
        ]
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM alerts")
            connection.executemany(
                f"INSERT INTO alerts ({_COLUMNS}, listed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("DELETE FROM slo_summary")
            connection.executemany("INSERT INTO slo_summary VALUES (?, ?, ?)", summaries)


def _by_environment() -> bool:
    return os.environ.get(_KILL_SWITCH[0]) == _KILL_SWITCH[1]


def _told(alert: dict[str, Any]) -> str:
    """What is kept of what was said: an information may become an alert, which is said then."""
    return f"info {alert['state']}" if alert["severity"] == "info" else str(alert["state"])
