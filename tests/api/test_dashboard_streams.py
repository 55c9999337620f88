"""What the dashboard streams: events, and "Try it"."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from harness import error_of, eventually, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]


def token(router: RouterProcess) -> str:
    found = re.search(r'name="csrf" content="([0-9a-f]{64})"', router.get("/dashboard").text)
    assert found
    return found[1]


def tried(router: RouterProcess, text: str, **payload: Any) -> list[tuple[str, Any]]:
    """(name, data) of the events; "" for those of the answer."""
    sent = {"messages": [{"role": "user", "content": text}]} | payload
    answer = router.post("/dashboard/try", sent, headers={"X-CSRF-Token": token(router)})
    assert answer.status_code == 200, answer.text
    found = []
    for event in answer.content.decode().split("\n\n"):
        name = re.search(r"^event: (.*)$", event, re.MULTILINE)
        data = re.search(r"^data: (.*)$", event, re.MULTILINE)
        if data is not None and data[1] != "[DONE]":
            found.append((name[1] if name else "", orjson.loads(data[1])))
    return found


def said(events: list[tuple[str, Any]]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for name, data in events
        if name == ""
        for choice in data["choices"]
    )


def test_the_decision_is_told_while_it_is_made(router: RouterProcess, sim: Simulator) -> None:
    text = steer("Prove it", router={"label": "COMPLEX", "ttft_ms": 400}, xai={"tokens": 5})
    events = tried(router, text)
    steps = [data for name, data in events if name == "router"]
    assert steps[0]["label"] is None
    assert any(one["phase"] == "deciding" and one["speculation"] == "running" for one in steps)
    assert any(one["verdicts"] and one["label"] is None for one in steps), "the instant tiers"
    assert steps[-1]["label"] == "COMPLEX"
    name, last = events[-1]
    assert name == "done"
    assert (last["route"], last["backend"], last["outcome"]) == ("xai", "xai", "ok")
    assert last["speculation"] == "cancelled"
    assert [one["label"] for one in last["verdicts"]] == [None, "COMPLEX"]
    assert said(events)
    detail = eventually(
        lambda: (
            (one := router.get(f"/dashboard/requests/{last['request_id']}").json()).get("file")
            and one
        )
    )
    assert detail["request"]["label"] == "COMPLEX"


def test_a_route_can_be_forced(router: RouterProcess, sim: Simulator) -> None:
    _, last = tried(router, "Hello", route="primary", max_tokens=100)[-1]
    assert (last["route"], last["tier"]) == ("primary", "explicit")


def test_a_failure_is_an_event_with_a_sentence(router: RouterProcess, sim: Simulator) -> None:
    for role in ("primary", "xai"):
        sim.fault(role, "error_status", status=500)
    events = dict(tried(router, "Hello", route="primary"))
    assert events["problem"]["status"] >= 500
    assert events["problem"]["message"]
    assert events["done"]["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("payload", "param"),
    [({"route": "moon"}, "route"), ({"messages": "none"}, "messages"), ({"messages": []}, "")],
)
def test_a_client_mistake_is_one(
    router: RouterProcess, sim: Simulator, payload: dict[str, Any], param: str
) -> None:
    events = dict(tried(router, "Hello", **payload))
    assert events["problem"]["status"] == 400
    assert events["done"]["outcome"] == "client_error"


def test_it_needs_the_token(router: RouterProcess, sim: Simulator) -> None:
    for headers in ({}, {"X-CSRF-Token": "0" * 64}):
        answer = router.post("/dashboard/try", {"messages": []}, headers=headers)
        assert (answer.status_code, error_of(answer)["code"]) == (403, "invalid_csrf_token")
    assert sim.stats("primary")["requests"] == []


def test_a_window_that_there_is_not(router: RouterProcess) -> None:
    answer = router.get("/dashboard/events?window=5")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_filter")


def test_an_open_page_does_not_delay_the_end(make_router: MakeRouter) -> None:
    router = make_router(warm=False)
    with router.get("/dashboard/events", stream=True) as answer:
        next(answer.iter_content(None))
        assert router.stop() == 0
    assert "Traceback" not in router.printed()
