"""Requests under way at a backend, of all workers."""

from __future__ import annotations

import os

import pytest

from airouter.domain.clock import Clock
from airouter.resilience.traffic import Table, Traffic


def test_others_are_counted_and_pauses_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(Clock, "monotonic", staticmethod(lambda: now[0]))
    table = Table()
    gpu, other = Traffic("gpu", table), Traffic("other", table)
    assert gpu.begin() == (0, None)  # the first one ever
    assert gpu.begin() == (1, None)
    assert other.begin() == (0, None)
    gpu.end()
    gpu.end()
    now[0] = 107.5
    assert gpu.begin() == (0, 7.5)


def test_workers_beyond_the_configured_number_count() -> None:
    table = Table()
    table.join(2, 2)
    gpu = Traffic("gpu", table)
    assert [gpu.begin()[0] for _ in range(3)] == [0, 1, 2]


def test_more_ends_than_begins_do_no_harm() -> None:
    gpu = Traffic("gpu", Table())
    gpu.end()
    assert gpu.begin()[0] == 0


def test_the_other_workers_requests_count_until_it_ends() -> None:
    table = Table()
    table.join(0, 2)
    gpu = Traffic("gpu", table)
    child = os.fork()
    if child == 0:
        table.join(1, 2)
        gpu.begin()
        gpu.begin()
        os._exit(0)
    os.waitpid(child, 0)
    assert gpu.begin() == (2, None)
    gpu.end()
    table.leave(1)
    others, idle = gpu.begin()
    assert others == 0
    assert idle is not None
