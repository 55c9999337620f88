"""The router's own evaluation and the generated rules under promtool raise the same alerts, give or
take one evaluation, for the same events."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from doubles import FakeClock, LogLines
from promtool import Case, events, needs_promtool, profile, timeline

from airouter.index.index import open_for_writing
from airouter.settings.slo import SloSettings
from airouter.slo.engine import Engine

pytestmark = needs_promtool
# Events of an objective, a minute each: (bad, good).
Minutes = list[tuple[int, int]]
# By evaluation, a minute each: (name, severity) → pending or firing.
Timeline = list[dict[tuple[str, str], str]]
AVAILABLE = "available"  # of profile 004; its budget is 1 %


def phases(*spans: tuple[int, int, int]) -> Minutes:
    """(minutes, bad, good per minute)."""
    return [(bad, good) for minutes, bad, good in spans for _ in range(minutes)]


def seed_002(factor: float, share_of_for: float) -> dict[str, Minutes]:
    """For each alert of the mapper's table, a share of bad events of so many times its threshold,
    for so many times its `for`; good events before and after."""
    found = {}
    for alert in profile("002").alerts:
        bad = round(alert.above * factor * 10_000)
        minutes = round(share_of_for * alert.lasting / 60)
        found[alert.slo] = phases(
            (20, 0, 10_000), (minutes, bad, 10_000 - bad), (50 - minutes, 0, 10_000)
        )
    return found


def wandering(seed: int) -> dict[str, Minutes]:
    """Shares that wander, with pauses in which nobody asks anything."""
    chance = random.Random(seed)
    found: dict[str, Minutes] = {}
    for alert in profile("002").alerts:
        share, minutes = alert.above, found.setdefault(alert.slo, [])
        for _ in range(240):
            share = min(0.9, max(0.0001, share * chance.choice((0.3, 0.7, 1.0, 1.3, 2.5))))
            total = chance.choice((0, 0, 997, 3_001, 10_007))
            bad = round(total * share)
            minutes.append((bad, total - bad))
    return found


SCENARIOS: dict[str, tuple[str, dict[str, Minutes]]] = {
    "a fast burn, and recovery": (
        "004",
        {AVAILABLE: phases((180, 0, 1_000), (40, 503, 497), (430, 0, 1_000))},
    ),
    "a slow burn": ("004", {AVAILABLE: phases((300, 0, 1_000), (400, 31, 969), (30, 0, 1_000))}),
    "within the budget": ("004", {AVAILABLE: phases((400, 9, 991))}),
    "an outage after which nobody asks any more": (
        "004",
        {AVAILABLE: phases((30, 100, 0), (420, 0, 0))},
    ),
    "no traffic": ("004", {AVAILABLE: phases((60, 0, 0))}),
    "seed 002, for twice as long as it takes": ("002", seed_002(1.13, 2)),
    "seed 002, for too short a time": ("002", seed_002(1.13, 0.6)),
    "seed 002, far above": ("002", seed_002(7.1, 1.5)),
    "flapping": (
        "002",
        {
            alert.slo: phases(*((4, round(20_000 * alert.above), 9_000), (7, 0, 10_000)) * 10)
            for alert in profile("002").alerts
        },
    ),
    "wandering 1": ("002", wandering(1)),
    "wandering 2": ("002", wandering(2)),
}
QUIET = ("within the budget", "no traffic")


def cumulated(values: Iterable[int]) -> str:
    """A counter as promtool reads it, a sample per minute, from 0."""
    total, samples = 0, ["0"]
    for value in values:
        total += value
        samples.append(str(total))
    return " ".join(samples)


def by_promtool(name: str, of: dict[str, Minutes], folder: Path) -> Timeline:
    series: dict[str, str] = {}
    for slo, minutes in of.items():
        bad, good = zip(*minutes, strict=True)
        series |= events(slo, cumulated(bad), cumulated(good))
    return timeline(Case("", name, series, ()), 1 + max(map(len, of.values())), folder)


def by_the_router(name: str, of: dict[str, Minutes], folder: Path) -> Timeline:
    clock = FakeClock(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    path = folder / "index.sqlite"
    engine = Engine(
        (profile(name),), SloSettings(), path, clock=clock, log=LogLines(), publish=lambda *_: None
    )
    found: Timeline = [states(engine.evaluate())]
    with closing(open_for_writing(path)) as connection:
        for at in range(max(map(len, of.values()))):
            clock.move(60)
            minute = int(clock.time() // 60)
            rows = [
                (slo, minute, minutes[at][1], minutes[at][0])
                for slo, minutes in of.items()
                if at < len(minutes) and any(minutes[at])
            ]
            connection.executemany("INSERT INTO slo_events VALUES (?, ?, ?, ?)", rows)
            found.append(states(engine.evaluate()))
    return found


def states(alerts: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Without those that are over, of which Prometheus knows nothing."""
    return {(a["name"], a["severity"]): a["state"] for a in alerts if a["state"] != "resolved"}


def differences(one: Timeline, other: Timeline) -> Iterator[str]:
    """Where one has a state that the other has neither then nor an evaluation before or after."""
    keys = sorted({key for states in (*one, *other) for key in states})
    for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        for key in keys:
            near = {states.get(key) for states in other[max(0, at - 1) : at + 2]}
            if mine.get(key) not in near:
                yield f"minute {at}: {key} is {mine.get(key)} and {theirs.get(key)}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_router_and_promtool_raise_the_same_alerts(scenario: str, tmp_path: Path) -> None:
    ours = by_the_router(*SCENARIOS[scenario], tmp_path)
    theirs = by_promtool(*SCENARIOS[scenario], tmp_path)
    assert [*differences(ours, theirs)] == []
    assert [*differences(theirs, ours)] == []
    # Else nothing is compared with nothing.
    assert any(theirs) is (scenario not in QUIET)
    if scenario == "seed 002, for twice as long as it takes":
        for alert in profile("002").alerts:
            states_of = [states.get((alert.name, alert.severity)) for states in theirs]
            assert {None, "pending", "firing"} == {*states_of}


def test_differences_of_two_evaluations_are_found() -> None:
    firing = {("X", "critical"): "firing"}
    late: Timeline = [{}, {}, {}, firing, firing, firing]
    assert [*differences([{}, {}, firing, firing, firing, firing], late)] == []
    assert [*differences([{}, firing, firing, firing, firing, firing], late)]
    assert [*differences(late, [{}, {}, {}, {}, {}, {}])]
