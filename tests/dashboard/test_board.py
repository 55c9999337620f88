"""What all workers are doing, by files in the directory of the run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from doubles import FakeClock
from harness import eventually

from airouter.dashboard import board as board_module
from airouter.dashboard.board import Board
from airouter.domain.clock import Clock
from airouter.flow.exchange import Exchange
from airouter.mapper.meter import SIZE


def current(workers: int = 2) -> Any:
    settings = SimpleNamespace(server=SimpleNamespace(workers=workers))
    state = SimpleNamespace(backends={}, settings=settings)
    return SimpleNamespace(exchanges=set(), draining=False, state=state)


def made(folder: Path, shared: Any, clock: Clock) -> Board:
    return Board(shared, folder, clock, dict, lambda: [0] * SIZE)


def test_requests_in_flight_are_listed_and_others_are_not(tmp_path):
    clock, shared = FakeClock(), current()
    board = made(tmp_path, shared, clock)
    for wanted in (True, False, True):
        one = Exchange(clock, client=None, client_ip="", total=60, active=shared.exchanges)
        one.record.wanted = wanted
        clock.move(1)
    view = board.all_workers()
    assert [one["age_s"] for one in view["in_flight"]] == [3.0, 1.0]
    assert (view["in_flight_total"], view["workers"]) == (2, 1)
    for one in list(shared.exchanges):
        one.close()
    assert not shared.exchanges
    assert board.all_workers()["in_flight"] == []


def test_other_workers_are_added_until_their_files_are_old(tmp_path):
    clock = FakeClock()
    board = made(tmp_path, current(), clock)
    view = board.own() | {"pid": 1, "total": 7}
    (tmp_path / "board-1.json").write_bytes(orjson.dumps(view))
    (tmp_path / "board-2.json").write_bytes(b"{")  # it is being written
    assert (board.all_workers()["workers"], board.all_workers()["in_flight_total"]) == (2, 7)
    clock.move(6)
    assert board.all_workers()["workers"] == 1


def test_a_worker_writes_only_while_somebody_watches(tmp_path, monkeypatch):
    monkeypatch.setattr(board_module, "EVERY", 0.02)
    board = made(tmp_path, current(), Clock())
    own = tmp_path / f"board-{os.getpid()}.json"
    board.start()
    time.sleep(0.2)
    assert not own.exists()
    board.watch()
    eventually(own.exists)
    assert own.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(own.read_bytes())["pid"] == os.getpid()
    os.utime(tmp_path / "board.watched", (1, 1))  # long ago
    eventually(lambda: not own.exists())
    board.watch()
    eventually(own.exists)
    board.close()
    assert not own.exists()


def test_a_single_worker_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(board_module, "EVERY", 0.02)
    board = made(tmp_path, current(workers=1), Clock())
    board.start()
    board.watch()
    time.sleep(0.2)
    board.close()
    assert not list(tmp_path.glob("board-*"))
