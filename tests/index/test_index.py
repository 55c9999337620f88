"""The index of requests: rows in a database, whatever happens to its file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from doubles import FakeClock, LogLines
from records import record

from airouter.domain.clock import Clock
from airouter.index.index import BackendEvent, Counted, Index
from airouter.index.reading import NAME, read_only
from airouter.index.schema import MIGRATIONS

ROOT = Path(__file__).resolve().parents[2]


class Made:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.events: Counter[str] = Counter()
        self.log = LogLines()
        options = {
            "max_age_days": 35,
            "max_count": 100_000,
            "clock": Clock(),
            "log": self.log,
            "linger": 0.0,
            "on_event": self._event,
        } | options
        self.index = Index(folder, **options)

    def _event(self, event: str, count: int) -> None:
        self.events[event] += count

    def emit(self, **changes: Any) -> None:
        self.index.emit(record(timestamp=Clock().now(), **changes))

    def rows(self, query: str = "SELECT id FROM requests ORDER BY id") -> list[Any]:
        assert self.index.flush(20)
        with closing(read_only(self.index.path)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Made] = []

    def build(**options: Any) -> Made:
        made.append(Made(tmp_path, **options))
        return made[-1]

    yield build
    for one in made:
        one.index.close(5)


def test_a_request_is_a_row_without_its_text(make: Any, tmp_path: Path) -> None:
    made = make()
    made.emit(
        id="a",
        usage={
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
        in_flight=2,
        reason="ok",
        requested_model="ai-router",
        user_query="a secret question",
        test="storm",
    )
    columns = "tokens_in, tokens_out, tokens_cached, in_flight, reason, requested_model, test"
    assert made.rows(f"SELECT {columns} FROM requests") == [
        (7, 3, 5, 2, "ok", "ai-router", "storm")
    ]
    made.index.close()
    assert b"secret question" not in (tmp_path / NAME).read_bytes()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "7", "completion_tokens": -1}])
def test_what_a_backend_states_wrongly_is_not_taken(make: Any, usage: Any) -> None:
    made = make()
    made.emit(usage=usage, max_tokens=10**30)
    assert made.rows("SELECT tokens_in, tokens_out FROM requests") == [(None, None)]


def test_events_of_backends_and_of_objectives_are_kept(make: Any) -> None:
    made = make(judge=lambda record: [("fast", record.total_ms < 1000)])
    made.emit(total_ms=10)
    made.emit(total_ms=20)
    made.emit(total_ms=2000)
    at = Clock().time()
    made.index.note(BackendEvent(at, "primary", "state", "open"))
    made.index.note(Counted(at, "up", False))
    assert made.rows("SELECT slo, sum(good), sum(bad) FROM slo_events GROUP BY slo") == [
        ("fast", 2, 1),
        ("up", 0, 1),
    ]
    assert made.rows("SELECT backend, value FROM backend_events") == [("primary", "open")]


def test_a_record_that_cannot_be_judged_does_not_lose_the_others(make: Any) -> None:
    def judge(one: Any) -> list[tuple[str, bool]]:
        return [("x", one.id != "bad" or one.nothing)]

    made = make(judge=judge)
    for name in ("a", "bad", "b"):
        made.emit(id=name)
    assert [row[0] for row in made.rows()] == ["a", "b", "bad"]
    assert made.events == {"written": 3, "failed": 1}
    assert "AttributeError" in str(made.log.lines[0])


def test_two_writers_share_the_file(make: Any) -> None:
    writers = [make(judge=lambda _: [("x", True)]) for _ in range(4)]

    def write(number: int) -> None:
        for count in range(200):
            writers[number].emit(id=f"{number}-{count}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(writer.index.flush(20) for writer in writers)
    assert len(writers[0].rows()) == 800
    assert writers[0].rows("SELECT sum(good) FROM slo_events") == [(800,)]
    assert sum(writer.events["failed"] for writer in writers) == 0


def test_a_deleted_file_is_begun_anew_and_that_is_said_once(make: Any, tmp_path: Path) -> None:
    made = make()
    made.emit(id="a")
    assert made.rows() == [("a",)]
    for path in tmp_path.glob(f"{NAME}*"):
        path.unlink()
    made.emit(id="b")
    made.emit(id="c")
    assert made.rows() == [("b",), ("c",)]
    assert [line for line in map(str, made.log.lines) if "deleted" in line]
    assert len(made.log.lines) == 1


def test_a_damaged_file_is_set_aside(make: Any, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    made = make()
    made.emit(id="a")
    assert made.index.flush(20)
    made.emit(id="b")
    assert made.rows() == [("b",)]
    assert (tmp_path / f"{NAME}.damaged").exists()
    assert made.events == {"failed": 1, "written": 1}


def test_a_full_disk_costs_rows_but_nothing_else(make: Any, tmp_path: Path) -> None:
    made = make()
    made.emit(id="a")
    assert made.rows() == [("a",)]
    made.index._connection.execute("PRAGMA max_page_count = 1")  # what SQLite says is the same
    for number in range(500):
        made.emit(id=f"{number}", model="m" * 500)
    assert made.index.flush(20)
    assert made.events["failed"] >= 1
    assert "full" in str(made.log.lines[0])
    made.emit(id="z")  # with a connection of its own again
    assert ("z",) in made.rows()
    assert len(made.log.lines) == 1


def test_the_file_of_a_later_version_is_left_alone(make: Any, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    made = make()
    made.emit()
    assert made.index.flush(20)
    assert made.events == {"failed": 1}
    assert "later version" in str(made.log.lines[0])


def test_old_rows_are_deleted_by_age_and_by_count(make: Any) -> None:
    clock = FakeClock()
    made = make(max_age_days=1, max_count=10, clock=clock)
    made.index.emit(record(id="old", timestamp=Clock().now().replace(year=2020)))
    assert made.index.flush(20)
    clock.move(100)
    for number in range(25):
        made.emit(id=f"{number:02}")
    assert made.index.flush(20)
    clock.move(100)
    made.emit(id="99")
    assert [row[0] for row in made.rows()] == [f"{number:02}" for number in range(16, 25)] + ["99"]


_WRITER = """
import sys, os
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from doubles import LogLines
from records import record
from airouter.domain.clock import Clock
from airouter.index.index import Index
index = Index(Path({folder!r}), max_age_days=9, max_count=10**6, clock=Clock(), log=LogLines(),
              linger=0.0)
number = 0
print("begun", flush=True)
while True:
    index.emit(record(id=f"{{number:08}}", timestamp=Clock().now()))
    number += 1
    if number % 1000 == 0:
        index.flush(5)
"""


def test_a_writer_that_is_killed_leaves_a_whole_database(tmp_path: Path, make: Any) -> None:
    code = _WRITER.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until = Clock.monotonic() + 20
        while Clock.monotonic() < until and not _count(tmp_path):
            threading.Event().wait(0.05)
        os.kill(process.pid, signal.SIGKILL)
    before = _count(tmp_path)
    assert before
    made = make()
    made.emit(id="after")
    assert len(made.rows()) == before + 1
    assert made.rows("PRAGMA integrity_check") == [("ok",)]


def _count(folder: Path) -> int:
    try:
        with closing(read_only(folder / NAME)) as connection:
            return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])
    except sqlite3.Error:
        return 0
