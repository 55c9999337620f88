"""The report on the objectives, from a small index."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airouter.index.index import open_for_writing
from airouter.index.rows import INSERT
from airouter.index.schema import MIGRATIONS
from airouter.slo.objectives import Measure, Objective, Profile
from airouter.slo.report import NoReport, Report, make_report
from tests.slo.index_of_30_days import fill, row

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=ZONE).timestamp()
DAY = 86_400


def objective(name: str, target: float | None = 0.95, **more: Any) -> Objective:
    measure = more.pop("measure", Measure("available"))
    return Objective(name, "p", f"what {name} says", measure, target, **more)


PROFILE = Profile(
    "p",
    (
        objective("x", 0.9),  # 1 - 0.9 is less than 0.1
        objective("y"),
        objective("loose", informational=True),
        objective("counted", None),
        objective("near-up", measure=Measure("up", backend="near")),
        objective("far-up", measure=Measure("up", backend="other", url="http://10.0.0.1:1/v1")),
    ),
)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.sqlite"
        with closing(open_for_writing(self.path)):
            pass

    def count(self, slo: str, good: int, bad: int, ago: float = 0.0) -> None:
        """Events `ago` seconds ago."""
        with closing(open_for_writing(self.path)) as connection:
            connection.execute(
                "INSERT INTO slo_events VALUES (?, ?, ?, ?)",
                (slo, int((NOW - ago) // 60), good, bad),
            )

    def request(self, ago: float = 10.0, **changes: Any) -> None:
        with closing(open_for_writing(self.path)) as connection:
            connection.execute(INSERT, row(NOW - ago, **changes))

    def report(self, days: int = 30, **more: Any) -> Report:
        return make_report(self.path, (PROFILE,), days, NOW, zone=ZONE, **more)

    def line(self, name: str, **more: Any) -> Any:
        lines = self.report(**more).objectives
        return next(line for line in lines if line.objective.name == name)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_an_objective_is_kept_or_breached(rig: Rig) -> None:
    rig.count("x", 90, 10)
    rig.count("y", 94, 6)
    rig.count("loose", 0, 9)
    lines = {line.objective.name: line for line in rig.report().objectives}
    assert {name: line.verdict for name, line in lines.items()} == {
        "x": "kept",
        "y": "breached",
        "loose": "informational",
        "near-up": "no events",
        "far-up": "no events",
    }
    assert lines["x"].budget_left == pytest.approx(0.0)
    assert lines["y"].budget_left == pytest.approx(-0.2)
    assert lines["y"].share == 0.94
    assert lines["near-up"].share is lines["near-up"].budget_left is lines["near-up"].burn is None
    assert lines["near-up"].worst is None


def test_events_before_the_period_do_not_count(rig: Rig) -> None:
    rig.count("x", 1, 0)
    rig.count("x", 2, 0, 6 * DAY)
    rig.count("x", 4, 0, 7 * DAY)
    rig.count("x", 8, 0, 29 * DAY)
    assert rig.line("x", days=7).good == 3
    assert rig.line("x", days=30).good == 15


def test_the_worst_day_is_one_of_local_time(rig: Rig) -> None:
    noon = 12 * 3600
    rig.count("x", 95, 5)
    rig.count("x", 80, 20, noon + 60)  # 23:59 of the day before
    rig.count("x", 100, 0, noon + 3600)
    rig.count("x", 70, 30, 40 * DAY)
    assert rig.line("x").worst == (date(2026, 11, 19), 0.9)


def test_days_change_at_midnight_where_clocks_are_changed(rig: Rig) -> None:
    """The 25th of October has 25 hours in Berlin."""
    start = datetime(2026, 10, 25, tzinfo=ZONE).timestamp()
    rig.count("x", 1, 1, NOW - start)
    rig.count("x", 1, 1, NOW - start - 25 * 3600 + 60)
    rig.count("x", 9, 0, NOW - start - 25 * 3600)
    rig.count("x", 9, 0, NOW - start + 60)
    assert rig.line("x").worst == (date(2026, 10, 25), 0.5)


def test_the_burn_rate_is_that_of_the_last_hour(rig: Rig) -> None:
    rig.count("x", 9, 1, 3500)
    rig.count("x", 0, 1000, 3700)
    assert rig.line("x").burn == pytest.approx(1.0)


def test_routes_have_outcomes_and_percentiles(rig: Rig) -> None:
    for ms in range(1, 101):
        rig.request(total_ms=ms, ttft_ms=ms / 2, own_ms=None, route="meta")
    rig.request(route="meta", reason="backend_error", outcome="error", total_ms=9e9)
    rig.request(route="xai", reason="client_gone", outcome="cancelled", backend=None)
    rig.request(route="xai", ago=31 * DAY)
    rig.request(route="xai", test="load")
    report = rig.report()
    meta, xai = report.routes
    assert (meta.route, meta.requests) == ("meta", 101)
    assert meta.reasons == {"ok": 100, "backend_error": 1}
    assert meta.ms["total_ms"] == pytest.approx((50.5, 95.05, 99.01))
    assert meta.ms["ttft_ms"] == pytest.approx((25.25, 47.525, 49.505))
    assert meta.ms["own_ms"] is None
    assert xai.reasons == {"client_gone": 1}
    assert report.tests == 1


def test_backends_have_tokens_failovers_and_availability(rig: Rig) -> None:
    rig.request(backend="near", tokens_in=10, tokens_out=1)
    rig.request(backend="near", tokens_in=20, tokens_out=None, attempts=2)
    rig.request(backend="near", attempts=2, outcome="error", tokens_in=None, tokens_out=None)
    rig.request(backend="far")
    rig.count("near-up", 3, 1)
    rig.count("far-up", 1, 1)
    far, near = rig.report(urls={"far": "http://10.0.0.1:1"}).backends
    assert (near.requests, near.failovers, near.tokens_in, near.tokens_out) == (3, 1, 30, 1)
    assert (near.availability, far.availability) == (0.75, 0.5)
    assert rig.report().backends[0].availability is None


def test_alerts_that_fired_are_listed_latest_first(rig: Rig) -> None:
    rig.count("x", 0, 10, 5 * DAY)
    rig.count("y", 0, 10, 60)
    report = rig.report()
    assert [(a.slo, a.still) for a in report.alerts] == [("y", True)] * 2 + [("x", False)] * 2
    assert report.end.timestamp() == (NOW // 60 + 1) * 60


def test_a_longer_index_is_read_in_parts_with_progress(tmp_path: Path) -> None:
    path, seen = tmp_path / "index.sqlite", list[tuple[str, float]]()
    fill(path, NOW, 45_000, objectives=0)
    report = make_report(path, (), 31, NOW, progress=lambda *step: seen.append(step))
    assert sum(line.requests for line in report.routes) == 45_000
    assert [share for what, share in seen if what == "requests"] == pytest.approx(
        [0, 4 / 9, 8 / 9, 1], abs=1e-4
    )


def _version(number: int) -> Callable[[Path], None]:
    def set_version(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")

    return set_version


def _damage(path: Path) -> None:
    with closing(open_for_writing(path)) as connection:
        for i in range(200):
            connection.execute(INSERT, row(NOW - i - 1))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "no index of requests at"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"no database" * 1000), "cannot be read: "),
        (lambda path: None, "has nothing since 2026-10-21 13:01"),
        (_version(len(MIGRATIONS) + 1), "was written by a later version"),
        (_damage, "cannot be read: "),
    ],
)
def test_an_index_that_is_of_no_use_is_said_in_a_sentence(
    rig: Rig, spoil: Callable[[Path], Any], says: str
) -> None:
    spoil(rig.path)
    with pytest.raises(NoReport, match=says) as raised:
        rig.report()
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)
