"""Session files by request."""

from __future__ import annotations

import pytest
from doubles import LogLines
from records import record

from airouter.dashboard.documents import Documents
from airouter.domain.clock import Clock
from session_logger import SessionLogger


@pytest.mark.parametrize("zone", [None, "Asia/Kathmandu"])
def test_a_file_is_found_by_id_and_arrival(tmp_path, zone):
    clock = Clock(zone)
    logger = SessionLogger(tmp_path / "sessions", log=LogLines(), clock=clock)
    now = clock.now()
    same = "0123456789abcdef" * 2
    for number in range(3):  # of one second, with the same first 8 characters
        logger.emit(record(id=same[:-1] + str(number), timestamp=now, save=True))
    assert logger.close(20)
    documents = Documents(lambda: tmp_path, clock)
    for number in range(3):
        found = documents.of(same[:-1] + str(number), now.timestamp())
        assert found is not None
        assert found["id"] == same[:-1] + str(number)
    assert documents.of("f" * 32, now.timestamp()) is None
    assert documents.of(same, now.timestamp() - 100) is None
    assert documents.find(same[:9])["id"].startswith(same[:9])
    assert documents.find("f" * 8) is None
