"""Past requests: filters, pages, and one in detail."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import LogLines
from records import record, step
from test_dashboard_history import settings

from airouter.dashboard.documents import Documents
from airouter.dashboard.requests import Content, PastRequests
from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, NotFound, RouterError
from session_logger import SessionLogger

SHOWN, HIDDEN = Content("shown"), Content("needs_admin", "Sign in.")


@pytest.fixture
def past(tmp_path: Any) -> PastRequests:
    clock = Clock()
    return PastRequests(Documents(lambda: tmp_path, clock), clock)


def test_filters(tmp_path, rows, past):
    rows({"route": "xai", "total_ms": 5000.0}, count=2)
    rows({"outcome": "upstream_error"})
    rows(ago=1200)
    made = settings(tmp_path)

    def found(**asked: str) -> int:
        return len(past.listed(made, asked)["requests"])

    assert found() == 3
    assert found(window="3600") == 4
    assert found(route="xai") == 2
    assert found(outcome="failed") == 1
    assert found(outcome="ok", route="xai") == 2
    assert found(slow_ms="2000") == 2
    assert found(id="0000") == 4
    assert found(id="0" * 31 + "1") == 1
    assert found(backend="x' OR 1=1 --") == 0


def test_pages(tmp_path, rows, past):
    rows(count=120)
    made, seen, asked = settings(tmp_path), [], dict[str, str]()
    while True:
        page = past.listed(made, asked)
        seen += [one["id"] for one in page["requests"]]
        if page["next"] is None:
            break
        asked = {"before": page["next"]}
    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    "asked",
    [{"window": "7"}, {"window": "x"}, {"slow_ms": "fast"}, {"id": "%"}, {"before": "nan"}],
)
def test_a_wrong_filter_is_said(tmp_path, past, asked):
    with pytest.raises(BadRequest):
        past.listed(settings(tmp_path), asked)


def test_without_an_index(tmp_path, past):
    assert past.listed(settings(tmp_path), {})["requests"] == []
    assert (
        "index.enabled" in past.listed(settings(tmp_path, index={"enabled": False}), {})["problem"]
    )
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(RouterError, match="see app"):
        past.listed(settings(tmp_path), {})


def saved(folder: Any, **changes: Any) -> str:
    clock = Clock()
    logger = SessionLogger(folder / "sessions", log=LogLines(), clock=clock)
    one = record(id="ab" * 16, timestamp=clock.now(), save=True, **changes)
    logger.emit(one)
    assert logger.close(20)
    return one.id


def test_one_in_detail(tmp_path, rows, past):
    failed = step(step="provider_call", error="The backend said: SECRET", start_ms=3.0)
    name = saved(tmp_path, steps=[failed], error="upstream_error: SECRET", ttft_ms=80.0)
    made = settings(tmp_path, index={"enabled": False})
    whole = past.one(made, name, SHOWN)
    assert [one["role"] for one in whole["messages"]][:2] == ["system", "user"]
    assert whole["messages"][1]["text"] == "question"
    assert {one["kind"] for one in whole["timeline"]} >= {"decision", "tier", "attempt", "mark"}
    assert "SECRET" in str(whole)
    without = past.one(made, name[:8], HIDDEN)
    assert (without["content"], without["content_hint"]) == ("needs_admin", "Sign in.")
    assert without["messages"] == []
    assert "SECRET" not in str(without)
    assert "question" not in str(without)


def test_one_whose_file_is_gone(tmp_path, rows, past):
    rows({"id": "cd" * 16, "save": True})
    found = past.one(settings(tmp_path), "cd" * 16, SHOWN)
    assert found["file"] is False
    assert "LOG_MAX_AGE_DAYS" in found["file_hint"]
    assert found["request"]["route"] == "primary"


@pytest.mark.parametrize("name", ["0", "../../etc", "f" * 32, "g" * 8])
def test_one_that_is_not_known(tmp_path, past, name):
    with pytest.raises(NotFound):
        past.one(settings(tmp_path), name, SHOWN)
