"""The alerts that fired, found later from the index, are those of the evaluation at the time."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from airouter.index.index import open_for_writing
from airouter.slo.counts import Counts
from airouter.slo.evaluate import State, advanced, conditions
from airouter.slo.objectives import Profile
from airouter.slo.replay import Fired, Minutes, fired, read_minutes
from tests.slo.seeds import SEEDS

FIRST = 28_000_000  # a minute
MAPPER = next(profile for profile in SEEDS if profile.name == "002")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path / "index.sqlite")) as connection:
        yield connection


def put(database: sqlite3.Connection, slo: str, events: dict[int, tuple[int, int]]) -> None:
    database.executemany(
        "INSERT INTO slo_events VALUES (?, ?, ?, ?)",
        [(slo, FIRST + minute, *counts) for minute, counts in events.items()],
    )


def replayed(database: sqlite3.Connection, profile: Profile, length: int, start: int = 0) -> list:
    found: list[Fired] = []
    for objective in profile.objectives:
        minutes = read_minutes(database, objective.name, FIRST, FIRST + length)
        found += fired(profile, objective, minutes, FIRST + start)
    return found


def evaluated(events: dict[str, dict[int, tuple[int, int]]], profile: Profile, length: int) -> dict:
    """(times fired, minutes of it) by alert, as the engine finds them minute by minute."""
    counts, states = Counts(), dict[tuple[str, str], State | None]()
    found: dict[tuple[str, str], list[int]] = {}
    for minute in range(length):
        for slo, series in events.items():
            if minute in series:
                counts.add(slo, FIRST + minute, *series[minute])
        now = (FIRST + minute) * 60.0
        for condition in conditions([profile], counts, now):
            key = condition.name, condition.severity
            before = states.get(key)
            after = states[key] = advanced(before, condition, now)
            if after is not None and after.state == "firing":
                begins = before is None or before.state != "firing"
                times = found.setdefault(key, [0, 0])
                times[0] += begins
                times[1] += 1
    return {key: tuple(values) for key, values in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_replay_finds_what_the_evaluation_found(
    database: sqlite3.Connection, seed: int
) -> None:
    chance, length = random.Random(seed), 700
    events: dict[str, dict[int, tuple[int, int]]] = {}
    for objective in MAPPER.objectives:
        series = events[objective.name] = {}
        minute = 0
        while minute < length:  # stretches that are good, bad or without events
            bad = chance.choice([0.0, 0.0, 0.03, 0.3, 1.0])
            for _ in range(chance.randrange(5, 60)):
                if chance.random() < 0.9:
                    series[minute] = (round(20 * (1 - bad)), round(20 * bad))
                minute += 1
            minute += chance.choice([0, 0, 20])
        events[objective.name] = {m: c for m, c in series.items() if m < length}
        put(database, objective.name, events[objective.name])
    expected = evaluated(events, MAPPER, length)
    found = replayed(database, MAPPER, length)
    assert {(a.name, a.severity): (a.times, a.seconds / 60) for a in found} == expected
    assert len(expected) > 5


def test_an_alert_of_a_table_is_pending_first(database: sqlite3.Connection) -> None:
    put(database, "mapper-by-model", dict.fromkeys(range(100, 109), (0, 1)))
    [alert] = [a for a in replayed(database, MAPPER, 200) if a.name == "MapperFallbackHigh"]
    # The window of 5 minutes is bad until minute 112; the alert waits for 10 minutes.
    assert (alert.times, alert.seconds, alert.still) == (1, 180, False)
    assert alert.last == (FIRST + 111) * 60
    later = replayed(database, MAPPER, 200, start=112)
    assert [a.seconds for a in later if a.name == "MapperFallbackHigh"] == [60]
    assert "MapperFallbackHigh" not in [a.name for a in replayed(database, MAPPER, 200, start=113)]
    [alert] = [a for a in replayed(database, MAPPER, 112) if a.name == "MapperFallbackHigh"]
    assert alert.still


def test_an_informational_objective_has_no_alerts(database: sqlite3.Connection) -> None:
    put(database, "mapper-p95", dict.fromkeys(range(60), (0, 1)))
    alone = replace(MAPPER, alerts=())
    assert [a.severity for a in replayed(database, alone, 60)] == ["critical", "warning"]
    quiet = replace(
        alone, objectives=tuple(replace(o, informational=True) for o in alone.objectives)
    )
    assert replayed(database, quiet, 60) == []


def test_events_within_some_minutes(database: sqlite3.Connection) -> None:
    put(database, "x", {0: (1, 0), 5: (10, 1), 9: (100, 2), 10: (1000, 4)})
    minutes: Minutes = read_minutes(database, "x", FIRST, FIRST + 10)
    assert minutes.within(FIRST, FIRST + 10) == (111, 3)
    assert minutes.within(FIRST + 1, FIRST + 9) == (10, 1)
    assert minutes.within(FIRST - 50, FIRST + 50) == (111, 3)
    assert minutes.within(FIRST + 6, FIRST + 9) == (0, 0)
