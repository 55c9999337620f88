import errno
import json
import logging
import os
import stat
import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from records import LINE, lines

from airouter.domain.clock import Clock
from airouter.telemetry import logs
from airouter.telemetry.logs import AppLog, install_stdlib_handler


class MovedClock(Clock):
    """Starts at 2026-03-01 12:00:00.123 in Berlin and moves only by `advance`."""

    def __init__(self):
        self.elapsed = 0.0

    def monotonic(self):
        return 1000.0 + self.elapsed

    def now(self):
        start = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=ZoneInfo("Europe/Berlin"))
        return start + timedelta(seconds=self.elapsed)


def test_line_format_file_mode_and_arguments(log):
    log.info("hello %s %d", "world", 3)
    log.warning("100%")
    log.error("bad template %d", "x")
    log.debug("not at this level")
    written = lines(log)
    assert len(written) == 3
    assert all(LINE.fullmatch(line) for line in written)
    assert written[0].endswith(" - ai_router - INFO - hello world 3")
    assert written[1].endswith(" - ai_router - WARNING - 100%")
    assert written[2].endswith("ERROR - bad template %d ('x',)")
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_the_time_is_when_it_was_logged_and_in_the_clocks_zone(tmp_path, monkeypatch):
    clock = MovedClock()
    log = AppLog(tmp_path, clock=clock)
    queued = []
    monkeypatch.setattr(log, "_put", queued.append)
    log.info("early")
    clock.elapsed = 61.5
    log.info("late")
    clock.elapsed = 600
    log._write(queued)
    early, late = log.path.read_text().splitlines()
    assert early == "2026-03-01 12:00:00,123 - ai_router - INFO - early"
    assert late == "2026-03-01 12:01:01,623 - ai_router - INFO - late"


def test_a_message_cannot_forge_a_line(log):
    log.info(
        "%s",
        "a\n2026-01-01 00:00:00,000 - ai_router - ERROR - forged\r\x1b[2J\u2028\u202eb\x85\x00\tc",
    )
    (line,) = lines(log)
    assert line.endswith(
        r"INFO - a\n2026-01-01 00:00:00,000 - ai_router - ERROR - "
        r"forged\r\u001b[2J\u2028\u202eb\u0085\u0000\tc"
    )


def test_lone_surrogates_are_written(log):
    log.info("%s", "x\ud800y ü")
    assert lines(log)[0].endswith(r"x\ud800y ü")


def test_an_existing_readable_file_is_closed_to_others(tmp_path):
    (tmp_path / "app.log").write_text("old\n")
    (tmp_path / "app.log").chmod(0o644)
    log = AppLog(tmp_path, clock=Clock())
    log.info("new")
    assert len(lines(log)) == 2
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    log.close()


def test_json_on_stdout_as_well(tmp_path, capfd):
    log = AppLog(tmp_path, fmt="json", clock=MovedClock())
    log.info(
        "a %s",
        "b\nc",
        extra={"route": "xai", "message": "mine", "levelname": "no", "odd": object()},
    )
    log.warning("two")
    assert len(lines(log)) == 2
    first, second = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert first["timestamp"] == "2026-03-01T12:00:00.123+01:00"
    assert (first["level"], first["name"], first["message"], first["route"]) == (
        "INFO",
        "ai_router",
        "a b\nc",
        "xai",
    )
    assert second["level"] == "WARNING"
    log.close()


def test_text_on_stdout_only_when_asked(tmp_path, capfd, log):
    log.info("silent")
    assert lines(log)
    assert capfd.readouterr().out == ""
    loud = AppLog(tmp_path / "loud", stdout=True, clock=Clock())
    loud.info("loud")
    assert lines(loud) == capfd.readouterr().out.splitlines()
    loud.close()


def test_close_flushes_is_idempotent_and_later_lines_are_counted(log):
    for number in range(500):
        log.info("line %d", number)
    assert log.close(20)
    assert log.close(20)
    assert len(log.path.read_text().splitlines()) == 500
    log.info("too late")
    assert log.dropped == 1
    assert log.flush(1)


def test_a_forked_child_writes_its_own_lines_once(log):
    log.info("before")
    assert log.flush(20)
    log.info(
        "waiting while it forks"
    )  # lingers in the parent's queue: the child must not write it too
    child = os.fork()
    if child == 0:
        log.info("from the child")
        os._exit(0 if log.close(20) else 1)
    log.info("from the parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    messages = sorted(line.split(" - ")[-1] for line in lines(log))
    assert messages == ["before", "from the child", "from the parent", "waiting while it forks"]


def test_a_full_disk_loses_lines_with_one_warning_and_no_exception(tmp_path, monkeypatch, capfd):
    clock = MovedClock()
    log = AppLog(tmp_path / "logs", clock=clock)
    real = os.open

    def full(path, *args, **kwargs):
        if "app.log" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", full)
    for _ in range(3):
        log.info("lost")
        assert log.flush(20)
    assert log.dropped == 3
    assert capfd.readouterr().err.count("No space left on device") == 1
    clock.elapsed = 61
    log.info("lost")
    assert log.flush(20)
    assert capfd.readouterr().err.count("No space left on device") == 1
    monkeypatch.setattr(os, "open", real)
    log.info("fits again")
    assert lines(log)[0].endswith("fits again")
    log.close()


def test_stdlib_records_go_into_the_file_once_under_their_own_name(log, tmp_path):
    """Once in each log, even if several are installed."""
    another = AppLog(tmp_path / "another", clock=Clock())
    for each in (log, another):
        install_stdlib_handler(each, loggers=("", "some.server"))
    server = logging.getLogger("some.server")
    logging.getLogger("urllib3.test").warning("retrying %s\nfoo", "x")
    logging.getLogger("urllib3.test").info("not this")
    server.error("worker failed")  # also propagates to the root
    try:
        raise ValueError("boom")
    except ValueError:
        server.exception("with a traceback")
    another.close()
    written = lines(log)
    assert len(written) == 3
    assert written[0].endswith(r" - urllib3.test - WARNING - retrying x\nfoo")
    assert written[1].endswith(" - some.server - ERROR - worker failed")
    assert r"\nValueError: boom" in written[2]


@pytest.mark.parametrize("close", ["log", "handler"])
def test_closing_detaches_the_handler_from_the_loggers(log, close):
    """A closed log receives no more records, and counts none as lost."""
    handler = install_stdlib_handler(log, loggers=("", "some.server"))
    loggers = [logging.getLogger(), logging.getLogger("some.server")]
    assert all(handler in logger.handlers for logger in loggers)
    {"log": log, "handler": handler}[close].close()
    assert not any(handler in logger.handlers for logger in loggers)
    logging.getLogger("some.server").error("not in the log any more")
    assert log.dropped == 0


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A log with a queue of eight lines, whose file answers no write until `gate` is set."""
    monkeypatch.setattr(logs, "WAITING", 8)
    small = AppLog(tmp_path / "small", clock=MovedClock())
    small.gate, small.entered, append = threading.Event(), threading.Event(), small._file.append

    def blocked(lines):
        small.entered.set()
        small.gate.wait(20)
        append(lines)

    monkeypatch.setattr(small._file, "append", blocked)
    small.info("first")
    assert small.entered.wait(20)
    yield small
    small.gate.set()
    small.close(20)


def test_lines_lost_to_a_full_queue_are_reported_when_there_is_room(small):
    pressed = []
    for number in range(20):
        small.info("line %d", number)
        pressed.append(small.pressed)
    assert pressed == [False] * 6 + [True] * 14
    assert small.dropped == 12
    small.gate.set()
    assert small.flush(20)
    assert not small.pressed
    messages = [line.split(" - ")[-1] for line in lines(small)]
    lost = "Log lines lost: 12 (the queue was full, or app.log could not be written)"
    assert messages == ["first", *(f"line {n}" for n in range(8)), lost]
    small.info("later")
    assert len(lines(small)) == 11  # reported once


def test_lines_that_cannot_be_written_before_the_end_are_reported_on_stderr(small, capfd):
    for number in range(5):
        small.info("line %d", number)
    assert not small.close(0.05)
    assert small.dropped == 6
    assert "WARNING: Log lines lost: 6 (" in capfd.readouterr().err


def test_levels(tmp_path):
    log = AppLog(tmp_path, level="warning", clock=Clock())
    log.info("no")
    log.foreign(logging.INFO, "other", "no")
    log.warning("yes")
    assert len(lines(log)) == 1
    log.close()


def test_many_threads_lose_nothing(log):
    def work(who):
        for number in range(1_000):
            log.info("%s %s", who, number)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(log)) == 8_000
    assert log.dropped == 0
    assert logs.WAITING >= 8_000


@pytest.mark.parametrize("name", ["app.log", "app.log.lock"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_the_mode_of_a_linked_file_is_left_alone(tmp_path, link, name):
    """If the log is a link, its target is written to and keeps its mode."""
    target = tmp_path / "elsewhere"
    target.write_text("")
    target.chmod(0o644)
    (tmp_path / "logs").mkdir()
    link(target, tmp_path / "logs" / name)
    log = AppLog(tmp_path / "logs", clock=Clock())
    log.info("a line")
    assert log.close()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert "a line" in (tmp_path / "logs" / "app.log").read_text()
