"""An application log and a session logger in a folder of the test's own."""

import pytest
from doubles import FakeClock, LogLines

from airouter.domain.clock import Clock
from airouter.telemetry.logs import AppLog
from session_logger import SessionLogger


@pytest.fixture
def log(tmp_path):
    log = AppLog(tmp_path / "logs", clock=Clock())
    yield log
    log.close()


@pytest.fixture
def make(tmp_path):
    """`make(max_count=5)`: a session logger with these options."""
    made = []

    def build(**options):
        events, log = [], LogLines()
        options = {
            "log": log,
            "clock": FakeClock(),
            "on_event": lambda *event: events.append(event),
        } | options
        logger = SessionLogger(tmp_path / "sessions", **options)
        logger.events, logger.lines = events, log.lines
        made.append(logger)
        return logger

    yield build
    for logger in made:
        logger.close(5)
