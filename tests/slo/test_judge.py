"""Each objective of the five seeds, with an event that is good for it and one that is bad."""

from __future__ import annotations

from typing import Any

import pytest
from records import record

from airouter.domain.types import AttemptOutcome
from airouter.slo.judge import Judge
from airouter.slo.objectives import Measure, Objective
from tests.slo import seeds
from tests.slo.seeds import OBJECTIVES, FakeServer, events, judge_of, request, warm

BY_NAME = {objective.name: objective for objective in OBJECTIVES}


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("name", BY_NAME)
def test_an_event_is_good_or_bad(name: str, good: bool) -> None:
    assert events(BY_NAME[name], good) == [good]


@pytest.mark.parametrize("name", [n for n, o in BY_NAME.items() if o.measure.limit is not None])
def test_exactly_the_limit_is_good(name: str) -> None:
    objective = BY_NAME[name]
    measure = objective.measure
    if measure.kind in ("answer_ms", "ttft_ms"):
        exact = warm(objective, measure.limit or 0.0, stream=measure.kind == "ttft_ms")
        assert list(judge_of(objective)(exact)) == [(name, True)]
    elif measure.kind == "total_ms":
        exact = request(objective, True)
        exact.total_ms = measure.limit or 0.0
        assert list(judge_of(objective)(exact)) == [(name, True)]


@pytest.mark.parametrize(
    "name", [n for n, o in BY_NAME.items() if o.measure.kind in seeds.OF_REQUESTS]
)
def test_a_test_counts_for_nothing(name: str) -> None:
    objective = BY_NAME[name]
    marked = request(objective, False)
    marked.test = "storm"
    assert list(judge_of(objective)(marked)) == []


TWICE = [AttemptOutcome("primary", "x"), AttemptOutcome("primary", "ok")]


def judged(kind: Any, **changes: Any) -> list[bool]:
    objective = Objective("x", "p", "", Measure(kind, 100.0, backend="gpu"), 0.9)
    if kind in ("available", "own_ms", "failover_ms", "classified", "cloud_last", "total_ms"):
        objective = Objective("x", "p", "", Measure(kind, 100.0), 0.9)
    return [good for _, good in judge_of(objective)(warm(objective, 50.0, **changes))]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("answer_ms", {"stream": False, "in_flight": 1}),  # it had something else to do
        ("answer_ms", {"stream": False, "max_tokens": 100}),  # more than one token
        ("answer_ms", {"stream": False, "idle_s": 100.0}),  # cold
        ("ttft_ms", {"stream": False}),
        ("ttft_ms", {"backend": "another"}),
        ("ttft_ms", {"outcome": "truncated"}),
        ("sustained", {"usage": {"completion_tokens": 5}}),  # too few to measure
        ("burst", {"usage": {"completion_tokens": 100}}),  # nothing beside it
        ("available", {"reason": "client_invalid"}),
        ("available", {"reason": "client_gone"}),
        ("available", {"reason": "policy_refused"}),
        ("own_ms", {"outcome": "client_error"}),
        ("failover_ms", {"attempts": TWICE}),
        ("classified", {"verdicts": ()}),
        ("cloud_last", {}),  # the local backend answered
        ("total_ms", {"outcome": "client_gone"}),
        ("available", {"route": "passthrough"}),
    ],
)
def test_a_request_that_says_nothing_about_it_does_not_count(
    kind: str, changes: dict[str, Any]
) -> None:
    assert judged(kind, **changes) == []


def test_a_backend_is_known_by_its_address_too() -> None:
    measure = Measure("ttft_ms", 100.0, backend="coder", url="http://127.0.0.1:9/v1")
    servers = {"primary": FakeServer("primary", "http://127.0.0.1:9")}
    judge = Judge([Objective("x", "p", "", measure, 0.9)], lambda: servers)
    answer = record(
        backend="primary",
        attempts=[AttemptOutcome("primary", "ok")],
        in_flight=0,
        backend_ttft_ms=50.0,
    )
    assert list(judge(answer)) == [("x", True)]


@pytest.mark.parametrize(
    ("changes", "healthy", "expected"),
    [
        ({}, True, [False]),
        ({}, False, [True]),  # the local backend cools, so it was not even asked
        ({"requested_route": "cloud"}, True, []),
        ({"notes": ["chosen because it supports images, or a context this long"]}, True, []),
    ],
)
def test_when_a_cloud_may_answer_a_local_route(
    changes: dict[str, Any], healthy: bool, expected: list[bool]
) -> None:
    servers = {
        "primary": FakeServer("primary", in_good_health=healthy),
        "cloud": FakeServer("cloud", local=False),
    }
    objective = Objective("x", "p", "", Measure("cloud_last"), 0.9)
    judge = Judge([objective], lambda: servers, lambda _: ("primary", "cloud"))
    answer = record(**{"backend": "cloud", "attempts": [AttemptOutcome("cloud", "ok")]} | changes)
    assert [good for _, good in judge(answer)] == expected


def test_cold_is_compared_with_what_is_usual_once_that_is_known() -> None:
    objective = Objective("x", "p", "", Measure("cold", 2.0, backend="gpu"), 0.9)
    servers = {"gpu": FakeServer("gpu")}
    judge = Judge([objective], lambda: servers)
    assert list(judge(warm(objective, 100.0, idle_s=600.0))) == []
    for _ in range(5):
        assert list(judge(warm(objective, 100.0))) == []
    assert list(judge(warm(objective, 190.0, idle_s=600.0))) == [("x", True)]
    assert list(judge(warm(objective, 210.0, idle_s=600.0))) == [("x", False)]
