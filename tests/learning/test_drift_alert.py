"""A model that drifted raises an alert of the router's own evaluation, until a new one is there."""

import sqlite3
from contextlib import closing
from pathlib import Path

from doubles import FakeClock, LogLines

from airouter.index.index import Index
from airouter.learning.service import OBJECTIVE
from airouter.runtime.objectives import Objectives
from airouter.settings.load import ROOT
from airouter.settings.slo import SloSettings
from airouter.slo.engine import Engine
from airouter.slo.load import load_profiles


def test_drift_raises_an_alert_until_it_is_over(tmp_path: Path) -> None:
    clock, log = FakeClock(), LogLines()
    profiles = load_profiles(("004",), ROOT / "config" / "slo")
    counted: list[tuple[str, bool]] = []
    objectives = Objectives(
        profiles, lambda: {}, lambda _: (), lambda *event: counted.append(event), clock, (8, 18)
    )
    index = objectives.index = Index(
        tmp_path, max_age_days=30, max_count=10_000, clock=clock, log=log, linger=0
    )
    engine = Engine(
        profiles, SloSettings(), index.path, clock=clock, log=log, publish=lambda *_: None
    )

    def minutes(number: int, good: bool) -> dict[str, str]:
        for _ in range(number):
            clock.move(60)
            objectives.fed(OBJECTIVE, good)
        assert index.flush(20)
        return {alert["name"]: alert["state"] for alert in engine.evaluate()}

    assert minutes(5, True) == {}
    assert minutes(2, False) == {}
    assert minutes(4, False) == {"TunedModelDrifted": "firing"}
    assert minutes(6, True) == {"TunedModelDrifted": "resolved"}
    objectives.fed("no such objective", False)
    assert {name for name, _ in counted} == {OBJECTIVE}
    index.close()
    with closing(sqlite3.connect(index.path)) as db:
        assert db.execute("SELECT sum(bad) FROM slo_events").fetchone() == (6,)
