import errno
import json
import os
import re
import stat
import threading

import pytest
from records import FakeClock, names, record, session_loggers, step

import session_logger


@pytest.fixture
def make(tmp_path):
    with session_loggers(tmp_path / "sessions") as build:
        yield build


def read(data):
    return json.loads(data)


def test_one_exchange_becomes_one_private_file(make, tmp_path):
    logger = make()
    logger.emit(record(steps=(step(),)))
    assert logger.flush(20)
    assert names(tmp_path) == ["2026-03-01_12-30-45_01234567.json"]
    file = tmp_path / "sessions" / names(tmp_path)[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    session = read(file.read_bytes())
    assert session["id"] == "0123456789abcdef"
    assert session["timestamp"] == "2026-03-01T12:30:45+00:00"
    assert session["client_messages"][1] == {"role": "user", "content": "question"}
    assert session["steps"][0]["response_content"] == "answer"
    assert session["steps"][0]["params"] == {"temperature": 0.5, "max_tokens": 100}
    assert session["verdicts"][0]["raw"] == "raw words"
    assert session["notes"] == ["a note"]
    assert "save" not in session
    fields = (
        "client_ip user_query route classification_raw classification_ms usage total_ms outcome"
    )
    fields += " error label tier p enrichment_ms inference_ms ttft_ms backend model stream endpoint"
    fields += " adjusted speculation attempts status"
    assert set(fields.split()) <= set(session)
    assert logger.events == [("written", 1)]
    assert re.fullmatch(r"Session saved: 01234567 write_ms=\d+ cleanup_ms=\d+", logger.lines[0])


def test_names_never_collide_or_escape(make, tmp_path):
    logger = make()
    for _ in range(3):
        logger.emit(record())
    logger.emit(record(id="../../etc/passwd"))
    logger.emit(record(id=""))
    assert logger.flush(20)
    assert names(tmp_path) == [
        "2026-03-01_12-30-45_01234567-2.json",
        "2026-03-01_12-30-45_01234567-3.json",
        "2026-03-01_12-30-45_01234567.json",
        "2026-03-01_12-30-45_______et.json",
        "2026-03-01_12-30-45_none.json",
    ]


def test_without_hard_links_files_are_renamed(make, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    logger = make()
    logger.emit(record())
    logger.emit(record())
    assert logger.flush(20)
    assert len(names(tmp_path)) == 2


def test_a_record_that_must_not_be_saved_is_not(make, tmp_path):
    logger = make()
    logger.emit(record(save=False))
    assert logger.flush(20)
    assert not (tmp_path / "sessions").exists()
    assert logger.dropped == 0


def test_a_full_disk_loses_sessions_with_one_warning_a_minute(make, tmp_path, monkeypatch):
    clock = FakeClock()
    logger = make(clock=clock)
    real = os.open

    def full(path, *args, **kwargs):
        if "sessions" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", full)
    for _ in range(3):
        logger.emit(record())
    assert logger.flush(20)
    assert logger.lines == ["session 01234567 not saved: No space left on device"]
    clock.elapsed = 61
    logger.emit(record())
    assert logger.flush(20)
    assert len(logger.lines) == 2
    assert logger.events == [("failed", 1)] * 4
    monkeypatch.setattr(os, "open", real)
    logger.emit(record())
    assert logger.flush(20)
    assert len(names(tmp_path)) == 1


def test_a_write_that_fails_leaves_no_file(make, tmp_path, monkeypatch):
    logger = make()
    logger.emit(record())
    assert logger.flush(20)

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(os, "replace", fail)
    logger.emit(record(id="another"))
    assert logger.flush(20)
    assert names(tmp_path) == ["2026-03-01_12-30-45_01234567.json"]
    assert logger.events[-1] == ("failed", 1)


def test_a_reader_never_sees_half_a_file(make, tmp_path):
    logger = make()
    big = [{"role": "user", "content": "x" * 200_000}]
    done, seen = threading.Event(), []

    def watch():
        while not done.is_set():
            for file in (tmp_path / "sessions").glob("*.json"):
                seen.append(len(read(file.read_bytes())["client_messages"][0]["content"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(20):
        logger.emit(record(id=f"{number:08d}", client_messages=big))
    assert logger.flush(20)
    done.set()
    watcher.join()
    assert set(seen) <= {200_000}
    assert len(names(tmp_path)) == 20


def test_a_directory_without_support_for_unnamed_files(make, tmp_path, monkeypatch):
    """Files are then written under a temporary name, of which none remains."""
    real = os.open

    def old_file_system(path, flags, *args, **kwargs):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", old_file_system)
    logger = make()
    logger.emit(record())
    logger.emit(record())
    assert logger.flush(20)
    assert names(tmp_path) == [
        "2026-03-01_12-30-45_01234567-2.json",
        "2026-03-01_12-30-45_01234567.json",
    ]
    assert sum(count for event, count in logger.events if event == "written") == 2


@pytest.fixture
def disk(monkeypatch):
    """A disk that answers no write until the event is set."""
    gate = threading.Event()
    monkeypatch.setattr(session_logger, "document", lambda *_: gate.wait(20) and b"{}")
    yield gate
    gate.set()


def test_a_full_queue_drops_counts_and_warns_once_a_minute(make, disk):
    clock = FakeClock()
    logger = make(queue_size=8, clock=clock)
    pressed = []
    for _ in range(20):
        logger.emit(record())
        pressed.append(logger.pressed)
    dropped = logger.dropped
    assert 11 <= dropped <= 12  # the thread may hold one
    assert not any(pressed[:6])
    assert all(pressed[8:])
    assert logger.events == [("dropped", 1)] * dropped
    assert logger.lines == ["Session records not saved: 1 (the queue is full)"]
    assert not logger.flush(0.01)
    clock.elapsed = 61
    disk.set()
    assert logger.flush(20)
    assert not logger.pressed
    rest = f"Session records not saved: {dropped - 1} (the queue is full)"
    assert [line for line in logger.lines if "not saved" in line] == [logger.lines[0], rest]
    assert logger.close(20)
    assert sum(count for event, count in logger.events if event == "written") == 20 - dropped


def test_records_with_long_texts_fill_the_queue_sooner(make, disk):
    logger = make(queue_bytes=1_000_000)
    long = [{"role": "user", "content": "x" * 300_000}]
    for _ in range(6):
        logger.emit(record(client_messages=long))
    assert logger.pressed
    assert logger.dropped == 2


def test_what_cannot_be_written_before_the_end_is_counted_and_reported(make, disk, capfd, tmp_path):
    logger = make()
    for _ in range(100):
        logger.emit(record())
    assert not logger.close(0.05)
    assert logger.dropped == 100
    assert logger.events == [("dropped", 100)]
    assert logger.lines == ["Session records not saved: 100 (the router is stopping)"]
    assert "WARNING: session records not saved: 100 (" in capfd.readouterr().err
    disk.set()
    assert logger.close(20)
    assert len(names(tmp_path)) <= 1  # the one in hand: the others were given up


def test_no_record_of_a_patient_producer_is_lost(make, tmp_path):
    """At full speed, if it pauses while the queue is pressed, as the server does."""
    logger = make(queue_size=1000, max_count=0)
    waits = 0
    for number in range(20_000):
        while logger.pressed:
            threading.Event().wait(0.002)
            waits += 1
        logger.emit(record(id=f"{number:08d}"))
    assert logger.close(60)
    assert waits > 0
    assert logger.dropped == 0
    assert len(names(tmp_path)) == 20_000
    assert sum(count for event, count in logger.events if event == "written") == 20_000


def test_close_drains_and_is_idempotent(make, tmp_path):
    logger = make()
    for number in range(200):
        logger.emit(record(id=f"{number:08d}"))
    assert logger.close(20)
    assert logger.close(20)
    assert len(names(tmp_path)) == 200
    logger.emit(record())
    assert logger.dropped == 1
    assert logger.events[-1] == ("dropped", 1)
    assert len(names(tmp_path)) == 200


def test_a_forked_child_writes_its_own_sessions(make, tmp_path):
    logger = make()
    logger.emit(record(id="parent01"))
    assert logger.flush(20)
    child = os.fork()
    if child == 0:
        logger.emit(record(id="child001"))
        os._exit(0 if logger.close(20) else 1)
    logger.emit(record(id="parent02"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert logger.flush(20)
    assert [name[20:28] for name in names(tmp_path)] == ["child001", "parent01", "parent02"]


def test_a_removed_directory_is_recreated(make, tmp_path):
    logger = make()
    logger.emit(record())
    assert logger.flush(20)
    for file in (tmp_path / "sessions").iterdir():
        file.unlink()
    (tmp_path / "sessions").rmdir()
    logger.emit(record())
    assert logger.flush(20)
    assert len(names(tmp_path)) == 1
