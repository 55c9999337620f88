"""Answers that are kept for a repeated request, in all workers of a run."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from doubles import FakeClock

from airouter.mapper.idempotency import Claim, Replays, key_of

KEY = key_of("/map", "Bearer a", "k", b"{}")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_another_worker_has_the_answer(tmp_path: Path, clock: FakeClock) -> None:
    one, other = (Replays(tmp_path / "r.sqlite", clock) for _ in range(2))
    assert one.claim(KEY, 10) == Claim(None, True)
    assert other.claim(KEY, 10) == Claim(None, False)  # it is being made
    one.keep(KEY, b"answer")
    assert other.claim(KEY, 10) == Claim(b"answer", False)
    clock.move(599)
    assert one.claim(KEY, 10).body == b"answer"
    clock.move(2)
    assert one.claim(KEY, 10) == Claim(None, True)


def test_what_failed_or_died_is_made_anew(tmp_path: Path, clock: FakeClock) -> None:
    replays = Replays(tmp_path / "r.sqlite", clock)
    replays.claim(KEY, 10)
    replays.give_up(KEY)
    assert replays.claim(KEY, 10).mine
    clock.move(11)
    assert replays.claim(KEY, 10).mine
    replays.keep(KEY, b"answer")
    replays.give_up(KEY)  # too late
    assert replays.claim(KEY, 10).body == b"answer"


def test_path_holder_key_and_body_are_part_of_it() -> None:
    others = {
        key_of("/map/batch", "Bearer a", "k", b"{}"),
        key_of("/map", "Bearer b", "k", b"{}"),
        key_of("/map", "Bearer a", "l", b"{}"),
        key_of("/map", "Bearer a", "k", b"{ }"),
        key_of("/map", "Bearer ak", "", b"{}"),
    }
    assert len(others) == 5
    assert KEY not in others
    assert key_of("/map", "Bearer a", "k", b"{}") == KEY


def test_without_a_database_nothing_is_a_replay(tmp_path: Path, clock: FakeClock) -> None:
    replays = Replays(tmp_path / "no" / "r.sqlite", clock)
    assert replays.claim(KEY, 10).mine
    replays.keep(KEY, b"answer")
    replays.give_up(KEY)
    assert replays.claim(KEY, 10).mine


def test_it_is_bounded(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airouter.mapper.idempotency._MOST_PAGES", 64)
    path = tmp_path / "r.sqlite"
    replays = Replays(path, clock)
    for number in range(300):
        replays.keep(key_of("/map", "", str(number), b""), b"x" * 2000)
        clock.move(0.01)
    assert replays.claim(key_of("/map", "", "299", b""), 10).body or replays.claim(KEY, 10).mine
    replays.close()
    with sqlite3.connect(path) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    assert pages <= 64
