from datetime import timedelta

import pytest
from records import NOW, FakeClock, names, record, session_loggers

import session_logger


@pytest.fixture
def make(tmp_path):
    with session_loggers(tmp_path / "sessions") as build:
        yield build


def fill(directory, days):
    directory.mkdir(exist_ok=True)
    for number, ago in enumerate(days):
        stamp = (NOW - timedelta(days=ago)).strftime(session_logger.STAMP)
        (directory / f"{stamp}_{number:08d}.json").write_text("{}")


def test_retention_by_age_touches_only_session_files(make, tmp_path):
    directory = tmp_path / "sessions"
    fill(directory, [30, 8, 7.01, 6.99, 1])
    others = [
        "notes.json",
        "2020-01-01_00-00-00_x.json.bak",
        "2020-01-01.json",
        ".2026-02-28_12-00-00_abc.json.9.tmp",
    ]
    others += [".2026-03-01_12-00-00_abc.json.9.tmp"]
    for name in others:
        (directory / name).write_text("keep")
    clock = FakeClock()
    logger = make(clock=clock)
    logger.emit(record())
    assert logger.flush(20)
    assert len(names(tmp_path)) == 5 + len(others) + 1  # not time yet
    clock.elapsed = 60
    logger.emit(record(id="second"))
    assert logger.flush(20)
    left = names(tmp_path)
    others.remove(
        ".2026-02-28_12-00-00_abc.json.9.tmp"
    )  # a killed process left it more than a day ago
    assert set(others) <= set(left)
    assert len(left) == len(others) + 2 + 2


def test_retention_by_count_after_a_hundred_saves(make, tmp_path):
    fill(tmp_path / "sessions", [3 - number / 100 for number in range(80)])
    logger = make(max_count=50)
    for number in range(100):
        logger.emit(record(id=f"n{number:07d}", timestamp=NOW + timedelta(seconds=number)))
    assert logger.flush(20)
    left = names(tmp_path)
    assert len(left) == 50
    assert left[0].endswith("_n0000050.json")


def test_files_of_other_workers_are_seen_at_the_next_scan_and_vanished_ones_do_not_matter(
    make, tmp_path
):
    directory = tmp_path / "sessions"
    clock = FakeClock()
    fill(directory, [1] * 10)
    logger = make(clock=clock, max_count=5)
    clock.elapsed = 60
    logger.emit(record(id="a"))
    assert logger.flush(20)
    assert len(names(tmp_path)) == 5
    for name in names(tmp_path):
        (directory / name).unlink()
    fill(directory, [2] * 10)
    clock.elapsed = 120
    logger.emit(record(id="b"))
    assert logger.flush(20)
    assert len(names(tmp_path)) == 11
    clock.elapsed = 661
    logger.emit(record(id="c"))
    assert logger.flush(20)
    assert len(names(tmp_path)) == 5
    assert not [line for line in logger.lines if "not" in line]


def test_a_long_backlog_is_deleted_in_slices(make, tmp_path, monkeypatch):
    monkeypatch.setattr(session_logger, "DELETE_AT_ONCE", 20)
    clock = FakeClock()
    fill(tmp_path / "sessions", [9] * 70)
    logger = make(clock=clock)
    clock.elapsed = 60
    counts = []
    for number in range(5):
        logger.emit(record(id=f"{number}"))
        assert logger.flush(20)
        counts.append(len(names(tmp_path)))
    assert counts == [51, 32, 13, 4, 5]
