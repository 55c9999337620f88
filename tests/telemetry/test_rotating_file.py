import errno
import multiprocessing
import os
import stat
from pathlib import Path

from records import LINE, lines

from airouter.domain.clock import Clock
from airouter.telemetry.logs import AppLog
from airouter.telemetry.rotating_file import RotatingFile


def test_rotation_keeps_three(tmp_path):
    log = AppLog(tmp_path, max_bytes=2_000, backups=3, clock=Clock())
    for number in range(400):
        log.info("line %04d %s", number, "x" * 20)
    assert log.close(20)
    assert sorted(os.listdir(tmp_path)) == [
        "app.log",
        "app.log.1",
        "app.log.2",
        "app.log.3",
        "app.log.lock",
    ]
    kept = []
    for name in ("app.log.3", "app.log.2", "app.log.1", "app.log"):
        file = tmp_path / name
        assert file.stat().st_size <= 2_000
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept += [int(line.split("line ")[1][:4]) for line in file.read_text().splitlines()]
    assert kept == list(range(400 - len(kept), 400))


def _write_many(directory, who, count):
    log = AppLog(Path(directory), max_bytes=20_000, backups=200, clock=Clock())
    for number in range(count):
        log.info("%s-%d-%s", who, number, "x" * (number % 50))
        if number % 100 == 0:
            log.flush(20)
    assert log.close(30)
    assert log.dropped == 0


def test_two_processes_rotate_the_same_file_without_a_lost_or_torn_line(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_write_many, args=(str(tmp_path), who, 3_000)) for who in "abc"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    files = [file for file in tmp_path.glob("app.log*") if file.suffix != ".lock"]
    assert len(files) > 5
    found = set()
    for file in files:
        for line in file.read_text().splitlines():
            assert LINE.fullmatch(line)
            who, number, padding = line.split(" - INFO - ")[1].split("-")
            assert len(padding) == int(number) % 50
            found.add((who, int(number)))
    assert found == {(who, number) for who in "abc" for number in range(3_000)}


def _append_many(directory, who):
    file = RotatingFile(Path(directory) / "app.log", max_bytes=300, backups=400)
    for number in range(600):
        file.append([f"{who}-{number:04d}-{'x' * (number % 50)}\n".encode()])


def test_concurrent_rotations_do_not_overwrite_each_other(tmp_path):
    workers = [
        multiprocessing.get_context("fork").Process(target=_append_many, args=(str(tmp_path), who))
        for who in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    text = "".join(file.read_text() for file in tmp_path.glob("app.log*"))
    assert sorted(line[:6] for line in text.splitlines()) == [
        f"{who}-{number:04d}" for who in "ab" for number in range(600)
    ]


def test_a_file_moved_or_deleted_by_others_is_reopened(log, tmp_path):
    log.info("one")
    assert log.flush(20)
    log.path.rename(tmp_path / "elsewhere")
    log.info("two")
    assert len(lines(log)) == 1
    for file in log.path.parent.iterdir():
        file.unlink()
    log.path.parent.rmdir()
    log.info("three")
    assert lines(log)[0].endswith("three")


def test_a_child_does_not_share_the_parents_lock(log):
    log.info("opens the files")
    assert log.flush(20)
    child = os.fork()
    if child == 0:
        os._exit(0 if log._file._fd == -1 and log._file._lock_fd == -1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_write_that_fails_halfway_leaves_no_torn_line(log, monkeypatch, capfd):
    log.info("whole")
    assert log.flush(20)
    fd, real = log._file._fd, os.write

    def half(target, data):
        if target != fd:
            return real(target, data)
        if len(data) > 10:
            return real(target, bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    log.info("torn")
    assert log.flush(20)
    monkeypatch.setattr(os, "write", real)
    log.info("after")
    messages = [line.split(" - ")[-1] for line in lines(log)]
    assert messages[:2] == ["whole", "after"]
    assert messages[2].startswith("Log lines lost: 1 ")
    assert log.dropped == 1
