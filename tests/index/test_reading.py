"""Reading the index, before it is there and when it is damaged."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from doubles import LogLines
from records import record

from airouter.domain.clock import Clock
from airouter.domain.errors import RouterError
from airouter.index.index import Index
from airouter.index.reading import NAME, UNREADABLE, last_before, look_up, read_only

QUERY = "SELECT id FROM requests WHERE route = ?"


def test_there_is_nothing_before_the_first_request(tmp_path):
    path = tmp_path / NAME
    assert look_up(path, QUERY, ["primary"]) == []
    sqlite3.connect(path).close()  # the file comes a moment before its tables
    path.touch()
    assert look_up(path, QUERY, ["primary"]) == []


def test_rows_and_where_a_time_begins(tmp_path):
    clock = Clock()
    index = Index(tmp_path, max_age_days=35, max_count=1000, clock=clock, log=LogLines())
    now = clock.now()
    for hours in (3, 2, 1):
        index.emit(record(id=f"{hours:032}", timestamp=now - timedelta(hours=hours)))
    assert index.close(20)
    assert len(look_up(index.path, QUERY, ["primary"])) == 3
    assert look_up(index.path, QUERY, ["none"]) == []
    with closing(read_only(index.path)) as connection:
        since = now.timestamp()
        assert last_before(connection, since - 2.5 * 3600) == 1
        assert last_before(connection, since - 10 * 3600) == last_before(connection, since) == 0


def test_a_damaged_one_is_an_answer_that_says_what_to_do(tmp_path):
    (tmp_path / NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(RouterError) as raised:
        look_up(tmp_path / NAME, QUERY, ["primary"])
    assert (raised.value.status, raised.value.code) == (503, "index_unreadable")
    assert raised.value.message == UNREADABLE
