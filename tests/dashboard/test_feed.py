"""An event that all tabs share."""

from __future__ import annotations

import threading

import orjson
from doubles import LogLines
from harness import eventually

from airouter.dashboard import feed as feed_module
from airouter.dashboard.feed import Feed
from airouter.domain.clock import Clock


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_is_made_only_while_somebody_watches(monkeypatch):
    monkeypatch.setattr(feed_module, "_UNWATCHED", 0.2)
    made = []
    feed = Feed("live", lambda: {"n": made.append(1) or len(made)}, 0.01, Clock(), LogLines())
    assert feed.latest == (0, b"")
    for _ in range(3):
        feed.watch()
    event = eventually(lambda: feed.latest[1])
    assert event.startswith(b"event: live\ndata: ")
    assert orjson.loads(event.split(b"data: ")[1])["n"] >= 1
    eventually(lambda: "dashboard-live" not in names())
    assert feed.latest[1] == b"", "what is old is not shown to the next visitor"
    before = feed.latest[0]
    feed.watch()
    eventually(lambda: feed.latest[1])
    assert feed.latest[0] > before
    feed.close()
    assert "dashboard-live" not in names()
    feed.watch()
    assert "dashboard-live" not in names(), "it stays closed"


def test_what_has_not_changed_is_no_news():
    feed = Feed("live", lambda: {"same": True}, 0.01, Clock(), LogLines())
    feed._renew()
    number = feed.latest[0]
    feed._renew()
    assert feed.latest[0] == number


def test_a_fault_is_said_once_and_ends_by_itself():
    log, faults = LogLines(), [True, True, False, True]

    def make():
        if faults.pop(0):
            raise ValueError("no such column")
        return {}

    feed = Feed("history", make, 1, Clock(), log)
    for _ in range(4):
        feed._renew()
    assert (
        log.lines
        == ["The dashboard's event history cannot be made: ValueError: no such column"] * 2
    )
