import pytest

from airouter.domain.clock import Clock
from airouter.telemetry.logs import AppLog


@pytest.fixture
def log(tmp_path):
    """An application log in `tmp_path`/logs."""
    log = AppLog(tmp_path / "logs", clock=Clock())
    yield log
    log.close()
