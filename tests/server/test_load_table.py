"""New connections go to the worker with the least to do, and none is left for long."""

from __future__ import annotations

import pytest
from doubles import FakeClock

from airouter.server.load_table import LoadTable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr("airouter.server.load_table.Clock.monotonic", fake.monotonic)
    return fake


def test_the_one_with_more_to_do_leaves_a_connection_to_the_other(clock: FakeClock) -> None:
    table = LoadTable()
    busy, free = table.share(0), table.share(1)
    busy.publish(10)
    assert busy.defer() == 0, "it is alone"
    free.publish(3)
    assert busy.defer() > 0
    assert free.defer() == 0
    free.publish(9)
    assert busy.defer() == 0, "hardly a difference"


def test_but_not_for_long(clock: FakeClock) -> None:
    """The other may be stuck."""
    table = LoadTable()
    busy, free = table.share(0), table.share(1)
    busy.publish(10)
    free.publish(0)
    waited = 0.0
    while (delay := busy.defer()) and waited < 1:
        clock.move(delay)
        waited += delay
    assert 0 < waited < 0.1
    assert busy.defer() > 0, "the next connection is left to the other again"


def test_a_worker_that_has_ended_does_not_count(clock: FakeClock) -> None:
    table = LoadTable()
    busy, free = table.share(0), table.share(1)
    busy.publish(10)
    free.publish(0)
    table.leave(1)
    assert busy.defer() == 0
