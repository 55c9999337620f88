"""Counts over a window of time, read piece by piece."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from airouter.dashboard.totals import Totals
from airouter.domain.clock import Clock
from airouter.domain.types import AttemptOutcome
from airouter.index.reading import NAME, read_only

FAILOVER = {"attempts": [AttemptOutcome("primary", "upstream_error"), AttemptOutcome("xai", "ok")]}


def look(totals: Totals, folder: Path, now: float | None = None) -> None:
    found = os.stat(folder / NAME)
    with closing(read_only(folder / NAME)) as connection:
        totals.read(connection, now or Clock.time(), (found.st_dev, found.st_ino))


def counts(totals: Totals, *names: str) -> dict[Any, int]:
    return {key: cell.requests for key, cell in totals.by(*names).items()}


def test_only_new_rows_are_read_and_nothing_is_counted_twice(tmp_path, rows):
    totals = Totals(15, 60)
    rows({"route": "primary"}, count=3)
    rows({"route": "xai"}, ago=300, count=2)
    rows({"route": "xai"}, ago=1200)  # older than the window
    look(totals, tmp_path)
    look(totals, tmp_path)
    assert counts(totals, "route") == {"primary": 3, "xai": 2}
    rows({"route": "primary"})
    look(totals, tmp_path)
    assert counts(totals, "route") == {"primary": 4, "xai": 2}


def test_a_request_that_ends_late_counts_where_it_began(tmp_path, rows):
    totals = Totals(15, 60)
    rows(ago=1)
    look(totals, tmp_path)
    rows({"route": "xai"}, ago=450)
    now = Clock.time()
    look(totals, tmp_path, now)
    (at,) = [i for i, count in enumerate(totals.series("route", now)["xai"]) if count]
    assert at in (28, 29, 30)
    assert sum(totals.series("route", now)["primary"]) == 1


def test_what_has_become_old_is_forgotten(tmp_path, rows):
    totals = Totals(15, 60)
    rows({"outcome": "upstream_error"} | FAILOVER)
    look(totals, tmp_path)
    assert len(totals.errors) == len(totals.fallbacks) == 1
    look(totals, tmp_path, Clock.time() + 1000)
    assert counts(totals, "route") == {}
    assert not totals.cells
    assert not totals.errors
    assert not totals.fallbacks


def test_a_new_index_is_begun_anew(tmp_path, rows):
    totals = Totals(15, 60)
    rows(count=5)
    look(totals, tmp_path)
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("DELETE FROM requests WHERE rowid > 2")
        connection.commit()
    look(totals, tmp_path)
    assert counts(totals, "route") == {"primary": 2}


def test_the_latest_errors_and_fallbacks_are_kept_newest_first(tmp_path, rows):
    totals = Totals(15, 60)
    for number in range(12):
        rows({"outcome": "upstream_error", "status": 500 + number})
        if number == 5:
            look(totals, tmp_path)
    rows({"outcome": "client_error", "status": 400})  # a client's mistake is no error of ours
    rows(FAILOVER)
    look(totals, tmp_path)
    assert [one["status"] for one in totals.errors] == [511, 510, 509, 508, 507, 506, 505, 504]
    assert len(totals.fallbacks) == 1


def test_what_speculation_saved(tmp_path, rows):
    """The decision took 400 ms and the backend 300 ms, but the first content came after 420 ms."""
    totals = Totals(15, 60)
    times = {"classification_ms": 400.0, "backend_ttft_ms": 300.0, "ttft_ms": 420.0}
    rows(times | {"speculation": "won"}, count=2)
    rows(times | {"speculation": "cancelled", "wasted_tokens": 7})
    rows(times)
    look(totals, tmp_path)
    found = totals.by("speculation")
    assert found["won"].saved_ms == 2 * 280.0
    assert found["cancelled"].saved_ms == found[None].saved_ms == 0
    assert found["cancelled"].tokens_wasted == 7
