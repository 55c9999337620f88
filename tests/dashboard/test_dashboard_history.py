"""What the index says about a window of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airouter.dashboard.history import SWITCHED_OFF, History
from airouter.domain.clock import Clock
from airouter.domain.types import AttemptOutcome
from airouter.settings.schema import Settings

FAILED_OVER = {
    "route": "primary",
    "backend": "xai",
    "attempts": [AttemptOutcome("primary", "upstream_error"), AttemptOutcome("xai", "ok")],
}
ASKED = {"requested_route": "auto", "label": "SIMPLE", "endpoint": "chat"}


def settings(folder: Path, **changes: Any) -> Settings:
    backends = {
        "primary": {"kind": "vllm", "url": "http://127.0.0.1:1"},
        "xai": {"kind": "xai", "url": "http://127.0.0.1:2", "local": False, "api_key": "k"},
    }
    routes = {
        "primary": {"backends": ["primary"]},
        "xai": {"backends": ["xai", "primary"]},
        "enrich": {"backends": ["primary"]},
        "meta": {"backends": ["primary"]},
    }
    given = {"backends": backends, "routes": routes, "logging": {"dir": str(folder)}}
    return Settings.model_validate(given | changes)


def shown(folder: Path, document: Any = lambda *_: None, **changes: Any) -> dict[str, Any]:
    made = settings(folder, **changes)
    return History(900, lambda: made, document, Clock()).event()


def test_no_index_yet_is_a_page_without_requests(tmp_path):
    event = shown(tmp_path)
    assert event["problem"] == ""
    assert event["overview"]["requests"] == 0
    assert event["overview"]["cloud_share"] is None
    assert event["series"]["requests"] == [0] * 60
    assert event["routes"] == event["tiers"] == event["answered_by"] == []


def test_switched_off_says_what_to_do(tmp_path):
    event = shown(tmp_path, index={"enabled": False})
    assert event["problem"] == SWITCHED_OFF
    assert event["series"].keys() == shown(tmp_path)["series"].keys(), "the page needs them all"


def test_a_damaged_index_says_what_to_do(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    assert "app.log" in shown(tmp_path)["problem"]


def test_counts(tmp_path, rows):
    rows(ASKED | {"tier": "learned"}, count=6)
    rows(FAILED_OVER)
    rows({"route": "xai", "backend": "xai"}, count=2)
    rows({"outcome": "upstream_error", "status": 502, "backend": None, "error": "x: y"})
    rows({"outcome": "client_error", "status": 400, "route": "none", "backend": None})
    rows({"outcome": "client_gone", "status": 499})
    event = shown(tmp_path)
    overview = event["overview"]
    named = ("requests", "ok", "failed", "refused", "client_gone", "cloud", "failovers")
    assert [overview[name] for name in named] == [12, 9, 1, 1, 1, 3, 1]
    assert overview["last_minute"] == 12
    assert overview["cloud_share"] == 3 / 10
    assert sum(event["series"]["requests"]) == 12
    assert sum(event["series"]["failed"]) == 1
    assert sum(map(sum, event["series"]["by_route"].values())) == 12
    assert {one["route"]: one["requests"] for one in event["routes"]}["xai"] == 2
    assert [one["status"] for one in event["errors"]] == [502]
    assert event["economics"]["cloud"]["avoided"] == 6
    assert event["economics"]["cloud"]["paid"] == 3
    assert event["economics"]["cloud"]["cost"] is None


def test_why_a_fallback_fired_is_read_from_its_session_file_without_texts(tmp_path, rows):
    asked = []

    def document(request: str, at: float) -> dict[str, Any]:
        asked.append(request)
        return {"error": "upstream_error: you asked: SECRET", "attempts": ["primary: x", "xai: ok"]}

    rows(FAILED_OVER)
    rows({"outcome": "upstream_error"})
    made = settings(tmp_path)
    history = History(900, lambda: made, document, Clock())
    for _ in range(3):
        event = history.event()
    assert event["fallbacks"][0]["attempts"] == ["primary: x", "xai: ok"]
    assert event["errors"][0]["text"] == "upstream_error"
    assert len(asked) == 2, "each is read once"


def test_cost_where_prices_are_known(tmp_path, rows):
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000}
    rows(ASKED | {"tier": "learned", "usage": usage}, count=2)
    rows({"route": "xai", "backend": "xai", "usage": usage})
    backends = settings(tmp_path).model_dump()["backends"]
    backends["xai"]["price"] = {"input": 2.0, "output": 10.0}
    cloud = shown(tmp_path, backends=backends)["economics"]["cloud"]
    assert (cloud["cost"], cloud["avoided_cost"]) == (3.0, 6.0)
