"""The evaluation in a worker: alerts in the index, the metrics and at the webhook."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import responses
from doubles import FakeClock, LogLines

from airouter.index.index import open_for_writing
from airouter.settings.slo import SloSettings
from airouter.slo.engine import Engine
from airouter.slo.objectives import Objective, Profile
from tests.slo.seeds import OBJECTIVES, SEEDS

HOOK = "http://127.0.0.1:9/hook"
MAPPER = next(profile for profile in SEEDS if profile.name == "002")


class Rig:
    """Mutable state: the engine, its clock, its log and what it has published."""

    def __init__(self, folder: Path, profiles: Any = (MAPPER,), **settings: Any) -> None:
        self.folder, self.profiles, self.settings = folder, profiles, settings
        self.clock, self.log = FakeClock(), LogLines()
        self.published: list[tuple[list[dict[str, Any]], dict[str, float]]] = []
        self.path = folder / "index.sqlite"
        self.restart()

    def restart(self) -> None:
        self.engine = Engine(
            self.profiles,
            SloSettings(**self.settings),
            self.path,
            clock=self.clock,
            log=self.log,
            publish=lambda *published: self.published.append(published),
            source="http://127.0.0.1:8002",
        )

    def put(self, slo: str, good: int, bad: int, ago: int = 0) -> None:
        minute = int(self.clock.time() // 60) - ago
        with closing(open_for_writing(self.path)) as connection, connection:
            connection.execute(
                "INSERT INTO slo_events VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "good = good + excluded.good, bad = bad + excluded.bad",
                (slo, minute, good, bad),
            )

    def evaluate(self, after: float = 0.0) -> dict[str, str]:
        self.clock.move(after)
        return {f"{a['name']}/{a['severity']}": a["state"] for a in self.engine.evaluate()}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[tuple[Rig, responses.RequestsMock]]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Rig(tmp_path, webhook=HOOK), mock


def test_no_traffic_is_no_alert(rig: Rig) -> None:
    assert rig.evaluate() == {}
    assert rig.published == [([], {})]


def test_an_alert_survives_a_restart(rig: Rig) -> None:
    rig.put("mapper-within-200ms", 90, 10)
    assert rig.evaluate() == {"MapperLatencyHigh/warning": "pending"}
    rig.restart()
    rig.put("mapper-within-200ms", 90, 10, -3)
    assert rig.evaluate(290) == {"MapperLatencyHigh/warning": "pending"}
    assert rig.evaluate(10) == {"MapperLatencyHigh/warning": "firing"}
    rig.restart()
    assert rig.evaluate(30) == {"MapperLatencyHigh/warning": "firing"}
    assert rig.evaluate(600) == {"MapperLatencyHigh/warning": "resolved"}
    assert [line.split(":")[0] for line in rig.log.lines] == [
        "Alert MapperLatencyHigh is firing",
        "Alert MapperLatencyHigh is resolved",
    ]


def test_budgets_are_published(rig: Rig) -> None:
    rig.put("mapper-schema-valid", 9975, 25)
    rig.evaluate()
    assert rig.published[-1][1]["mapper-schema-valid"] == pytest.approx(0.5)
    with closing(sqlite3.connect(rig.path)) as connection:
        rows = connection.execute("SELECT slo, summary FROM slo_summary").fetchall()
    said = {slo: json.loads(text) for slo, text in rows}
    assert said["mapper-schema-valid"]["budget_left"] == 0.5
    assert said["mapper-p95"]["ratio"] is None
    assert "mapper-within-200ms" not in said  # counted for an alert only


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o.target], ids=lambda o: o.name)
def test_each_objective_holds_or_is_breached(
    tmp_path: Path, objective: Objective, held: bool
) -> None:
    rig = Rig(tmp_path, (Profile("p", (objective,)),))
    bad = round(10_000 * objective.budget * (0.9 if held else 1.1))
    rig.put(objective.name, 10_000 - bad, bad, ago=6 * 24 * 60)
    rig.evaluate()
    left = rig.published[-1][1][objective.name]
    assert left == pytest.approx(0.1 if held else -0.1, abs=0.02)
    assert rig.published[-1][0] == []
    rig.put(objective.name, 0, 10_000)
    alerts = rig.evaluate()
    assert bool(alerts) is not objective.informational


def test_the_webhook_is_told_once_of_each_change(hooked: Any) -> None:
    rig, mock = hooked
    mock.post(HOOK, status=200)
    rig.put("mapper-p95", 0, 100)
    rig.evaluate()
    rig.evaluate(30)
    assert len(mock.calls) == 1
    body = json.loads(mock.calls[0].request.body)
    assert (body["version"], body["status"]) == ("4", "firing")
    labels = {(a["labels"]["alertname"], a["labels"]["priority"]) for a in body["alerts"]}
    assert labels == {("MapperP95BudgetBurn", "P1"), ("MapperP95BudgetBurn", "P2")}
    assert all(
        a["annotations"]["runbook_url"].endswith("mapper-latency.md") for a in body["alerts"]
    )


def test_a_webhook_that_fails_is_told_later(hooked: Any) -> None:
    rig, mock = hooked
    mock.post(HOOK, status=503)
    rig.put("mapper-p95", 0, 100)
    rig.evaluate()
    assert len(mock.calls) == 3
    assert any("was not told" in line for line in rig.log.lines)
    mock.replace("POST", HOOK, status=200)
    rig.evaluate(30)
    rig.evaluate(30)
    assert len(mock.calls) == 4


def test_a_webhook_that_refuses_is_not_asked_three_times(hooked: Any) -> None:
    rig, mock = hooked
    mock.post(HOOK, status=400)
    rig.put("mapper-p95", 0, 100)
    rig.evaluate()
    assert len(mock.calls) == 1


def test_the_kill_switch_makes_fallbacks_an_information(
    hooked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, mock = hooked
    monkeypatch.setenv("MAPPER_SERVING_MODE", "rules_only")
    rig.put("mapper-by-model", 0, 100)
    rig.evaluate()
    severities = {a["severity"] for a in rig.published[-1][0]}
    assert severities == {"info"}
    assert len(mock.calls) == 0


def test_an_index_that_cannot_be_read_is_said_once(rig: Rig) -> None:
    rig.path.write_bytes(b"no database" * 1000)
    rig.engine._guarded()
    rig.engine._guarded()
    assert len(rig.log.lines) == 1
    assert "cannot be evaluated" in rig.log.lines[0]
    rig.path.unlink()
    rig.engine._guarded()
    assert rig.published


def test_one_of_several_evaluates(tmp_path: Path) -> None:
    first, second = Rig(tmp_path), Rig(tmp_path)
    assert first.engine.leads
    assert not second.engine.leads
    first.engine.close()
    assert second.engine.leads
    second.engine.close()


def test_an_information_that_becomes_an_alert_is_told(
    hooked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, mock = hooked
    mock.post(HOOK, status=200)
    monkeypatch.setenv("MAPPER_SERVING_MODE", "rules_only")
    rig.put("mapper-by-model", 0, 100)
    rig.evaluate()
    rig.evaluate(30)
    assert len(mock.calls) == 0
    logged = len(rig.log.lines)
    monkeypatch.delenv("MAPPER_SERVING_MODE")
    rig.restart()
    rig.evaluate(30)
    assert len(mock.calls) == 1
    assert len(rig.log.lines) > logged


def test_a_webhook_that_is_no_host_does_not_end_the_evaluation(tmp_path: Path) -> None:
    rig = Rig(tmp_path, webhook="http://alerts..internal/")
    rig.engine._stopped.set()  # no pauses between the tries
    rig.put("mapper-p95", 0, 100)
    rig.engine._guarded()
    assert rig.published
    assert any("was not told" in line for line in rig.log.lines)


def test_a_fault_is_said_and_does_not_end_the_thread(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("bug")

    monkeypatch.setattr(rig.engine, "evaluate", broken)
    rig.engine._guarded()
    assert "bug" in rig.log.lines[0]
