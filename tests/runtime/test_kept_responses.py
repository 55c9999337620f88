"""Responses that are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from airouter.runtime import kept_responses
from airouter.runtime.kept_responses import ResponseStore, Stored


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    store = ResponseStore(tmp_path / "responses.sqlite")
    yield store
    store.close()


def keep(store: ResponseStore, id: str, holder: str = "", most: int = 9) -> None:
    store.keep(holder, [f"items of {id}"], {"id": id}, most)


def test_another_worker_finds_it(store: ResponseStore, tmp_path: Path) -> None:
    keep(store, "a")
    other = ResponseStore(tmp_path / "responses.sqlite")
    assert other.find("", "a") == Stored(["items of a"], {"id": "a"})
    assert other.forget("", "a")
    assert (store.find("", "a"), store.forget("", "a")) == (None, False)
    other.close()


def test_nobody_else_gets_it(store: ResponseStore) -> None:
    keep(store, "a", "alice")
    for holder in ("", "bob"):
        assert store.find(holder, "a") is None
        assert not store.forget(holder, "a")
    assert store.find("alice", "a") is not None


def test_the_oldest_are_removed_first(store: ResponseStore) -> None:
    for id in "abcd":
        keep(store, id, most=2)
    assert [store.find("", id) is not None for id in "abcd"] == [False, False, True, True]


def test_where_there_is_no_more_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them make room for the new one."""
    monkeypatch.setattr(kept_responses, "_MOST_PAGES", 64)
    store = ResponseStore(tmp_path / "responses.sqlite")
    for number in range(40):
        store.keep("", ["x" * 16_000], {"id": str(number)}, 1_000)
    assert store.find("", "39") is not None
    assert store.find("", "0") is None
    store.close()


def test_without_a_database_nothing_is_kept(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "missing" / "responses.sqlite")
    keep(store, "a")
    assert (store.find("", "a"), store.forget("", "a")) == (None, False)
    (tmp_path / "broken").write_bytes(b"x" * 9000)
    broken = ResponseStore(tmp_path / "broken")
    keep(broken, "a")
    assert broken.find("", "a") is None
    with pytest.raises(sqlite3.Error):
        broken._database.connected()
