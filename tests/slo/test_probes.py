"""Availability and outages, from probes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airouter.slo.objectives import Measure, Objective
from airouter.slo.probes import ProbeJudge
from tests.slo.seeds import FakeServer

SERVERS = {"gpu": FakeServer("gpu"), "other": FakeServer("other")}
MONDAY = datetime(2026, 3, 2, 10, tzinfo=UTC)


def judge(kind: str, limit: float | None = None, business_hours: bool = False) -> ProbeJudge:
    options: Any = {"limit": limit, "backend": "gpu", "business_hours": business_hours}
    measure = Measure(kind, **options)  # type: ignore[arg-type]
    return ProbeJudge([Objective("x", "p", "", measure, 0.99)])


def probed(judge: ProbeJudge, up: bool, now: datetime, backend: str = "gpu") -> list[bool]:
    return [counted.good for counted in judge(SERVERS, backend, up, now)]


@pytest.mark.parametrize(
    ("now", "counts"),
    [
        (MONDAY, True),
        (MONDAY.replace(hour=7), False),
        (MONDAY.replace(hour=8), True),
        (MONDAY.replace(hour=18), False),
        (MONDAY - timedelta(days=1), False),
    ],
)
def test_business_hours_are_weekdays_from_8_to_18(now: datetime, counts: bool) -> None:
    assert probed(judge("up", business_hours=True), False, now) == ([False] if counts else [])
    assert probed(judge("up"), False, now) == [False]


def test_each_minute_counts_once_however_often_it_is_probed() -> None:
    watch, second = judge("up"), timedelta(seconds=1)
    found = [probed(watch, False, MONDAY + n * second) for n in range(0, 120, 5)]
    assert sum(map(len, found)) == 2
    assert probed(watch, True, MONDAY + 120 * second) == [True]


def test_another_backend_does_not_count() -> None:
    assert probed(judge("up"), False, MONDAY, "other") == []


def test_an_outage_counts_once_when_it_ends_or_is_too_long() -> None:
    watch, second = judge("recovered", 300), timedelta(seconds=1)
    assert probed(watch, True, MONDAY) == []
    assert probed(watch, False, MONDAY) == []
    assert probed(watch, True, MONDAY + 299 * second) == [True]
    assert probed(watch, True, MONDAY + 310 * second) == []
    assert probed(watch, False, MONDAY + 400 * second) == []
    assert probed(watch, False, MONDAY + 500 * second) == []
    assert probed(watch, False, MONDAY + 701 * second) == [False]  # while it lasts
    assert probed(watch, False, MONDAY + 800 * second) == []
    assert probed(watch, True, MONDAY + 900 * second) == []
    assert probed(watch, False, MONDAY + 1000 * second) == []
    assert probed(watch, True, MONDAY + 1001 * second) == [True]
