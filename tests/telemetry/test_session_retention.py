import os
import threading
from datetime import timedelta

import pytest
from records import NOW, FakeClock, names, record, session_loggers

from airouter.telemetry import session_retention
from airouter.telemetry.session_retention import STAMP, Retention


@pytest.fixture
def make(tmp_path):
    with session_loggers(tmp_path / "sessions") as build:
        yield build


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions"


def fill(directory, days, first=0):
    for number, ago in enumerate(days, first):
        stamp = (NOW - timedelta(days=ago)).strftime(STAMP)
        (directory / f"{stamp}_{number:08d}.json").write_text("{}")


def finish(retention):
    """All steps that are due; returns their number."""
    steps = 1
    while retention.step():
        steps += 1
    return steps


def write(directory, retention, numbers):
    for number in numbers:
        stamp = (NOW + timedelta(seconds=number)).strftime(STAMP)
        (directory / f"{stamp}_n{number:07d}.json").write_text("{}")
        retention.add(f"{stamp}_n{number:07d}.json")


def test_retention_by_age_touches_only_session_files(make, tmp_path, directory):
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


def test_retention_by_count_after_a_hundred_saves(directory):
    fill(directory, [3 - number / 100 for number in range(80)])
    retention = Retention(str(directory), 7, 50, FakeClock())
    write(directory, retention, range(99))
    assert not retention.step()
    assert len(os.listdir(directory)) == 179
    write(directory, retention, [99])
    finish(retention)
    left = sorted(os.listdir(directory))
    assert len(left) == 50
    assert left[0].endswith("_n0000050.json")


def test_files_of_other_workers_are_seen_at_the_next_scan_and_vanished_ones_do_not_matter(
    make, tmp_path, directory
):
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


def test_a_large_directory_is_read_and_cleaned_in_small_steps(directory, monkeypatch):
    """No step handles more than a few files; what is written meanwhile is counted once."""
    monkeypatch.setattr(session_retention, "SCAN_AT_ONCE", 10)
    monkeypatch.setattr(session_retention, "DELETE_AT_ONCE", 20)
    clock = FakeClock()
    fill(directory, [9] * 70 + [1] * 30)
    retention = Retention(str(directory), 7, 40, clock)
    clock.elapsed = 60
    deleted, written = [], 0
    more = True
    while more:
        if written < 15:
            write(directory, retention, [written])
            written += 1
        before = len(os.listdir(directory))
        more = retention.step()
        deleted.append(before - len(os.listdir(directory)))
    assert max(deleted) == 20
    assert len(deleted) >= 11 + 3  # steps that read a hundred files, then steps that delete
    left = sorted(os.listdir(directory))
    assert len(left) == 40
    assert sum("_n" in name for name in left) == written


def test_a_file_that_is_added_while_it_is_found_counts_once(directory, monkeypatch):
    monkeypatch.setattr(session_retention, "SCAN_AT_ONCE", 2)
    clock = FakeClock()
    fill(directory, [1] * 10)
    retention = Retention(str(directory), 7, 10, clock)
    clock.elapsed = 60
    assert retention.step()
    for name in os.listdir(directory):
        retention.add(name)
    finish(retention)
    assert len(os.listdir(directory)) == 10


def test_reading_can_be_left_for_later_but_deleting_goes_on(directory):
    fill(directory, [1] * 10)
    retention = Retention(str(directory), 7, 5, FakeClock())
    write(directory, retention, range(100))
    for _ in range(3):
        assert retention.step(scan=False)
    left = os.listdir(directory)
    assert len(left) == 5 + 10
    finish(retention)
    assert len(os.listdir(directory)) == 5


def test_a_directory_that_cannot_be_read_is_tried_again_later(directory):
    clock = FakeClock()
    retention = Retention(str(directory / "gone"), 7, 5, clock)
    clock.elapsed = 60
    with pytest.raises(FileNotFoundError):
        retention.step()
    assert not retention.step()


def test_an_idle_logger_cleans_up_without_new_records(make, tmp_path, directory):
    fill(directory, [9] * 300)
    clock = FakeClock()
    logger = make(clock=clock)
    logger.emit(record())
    assert logger.flush(20)
    clock.elapsed = 60
    for _ in range(200):
        if len(names(tmp_path)) == 1:
            break
        threading.Event().wait(0.1)
    assert len(names(tmp_path)) == 1
