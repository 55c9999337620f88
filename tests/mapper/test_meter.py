"""Shares that the metrics show, and what becomes of them as alerts."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mapper_world import DETECTOR, Scene, mapping

from airouter.index.index import open_for_writing
from airouter.mapper.answer import Outcome
from airouter.mapper.meter import described
from airouter.mapper.rules import Mapped
from tests.slo.test_engine import MAPPER, Rig

SLOS = {objective.name for objective in MAPPER.objectives}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def answers(scene: Scene, total: int, **bad: int) -> list[Any]:
    good = mapping(scene.label())
    invalid, unsure = "no JSON", mapping(scene.label(), confidence=0.2)
    kinds = [invalid] * bad.get("invalid", 0) + [unsure] * bad.get("unsure", 0)
    return [*kinds, *[good] * (total - len(kinds))]


@pytest.mark.parametrize("invalid", [3, 10, 100])
def test_the_metrics_show_the_injected_share(scene: Scene, invalid: int) -> None:
    """0.3, 1 and 10 % of 1,000; one fallback for each, and none for the others."""
    scene.says(*answers(scene, 1000, invalid=invalid))
    for _ in range(1000):
        scene.map_and_count()
    found = scene.samples()
    assert found["mapper_requests_total", "success"] == 1000
    assert found["mapper_schema_validation_total", "false"] == invalid
    assert found["mapper_schema_validation_total", "true"] == 1000 - invalid
    assert found["mapper_fallback_total", "schema_validation_failed"] == invalid
    assert found["mapper_schema_valid_percentage", ""] == pytest.approx(100 - invalid / 10)
    assert found["mapper_fallback_percentage", ""] == pytest.approx(invalid / 10)
    assert found["mapper_request_duration_seconds_count", ""] == 1000
    assert scene.told.count(("mapper-schema-valid", False)) == invalid
    assert scene.told.count(("mapper-by-model", False)) == invalid


def test_each_request_is_one_fallback_whatever_the_reason(scene: Scene) -> None:
    scene.says(*answers(scene, 20, invalid=4, unsure=5))
    for _ in range(20):
        scene.map_and_count()
    for backend in scene.state.backends.values():
        backend.out = True
    for _ in range(5):
        scene.map_and_count()
    found = scene.samples()
    reasons = {reason: n for (name, reason), n in found.items() if name == "mapper_fallback_total"}
    assert reasons == {"schema_validation_failed": 4, "low_confidence": 5, "model_error": 5}
    assert found["mapper_schema_validation_total", "true"] == 16
    assert found["mapper_fallback_percentage", ""] == pytest.approx(100 * 14 / 25)


def fired(tmp_path: Path, events: list[tuple[str, bool]]) -> set[str]:
    """The alerts of profile 002 that fire when the same happens in each of 20 minutes."""
    rig = Rig(tmp_path)
    found: dict[str, str] = {}
    counts = Counter(events)
    now = int(rig.clock.time() // 60)
    rows = [
        (slo, now + minute, counts[slo, True], counts[slo, False])
        for slo in SLOS
        for minute in range(-5, 21)
    ]
    with closing(open_for_writing(rig.path)) as connection, connection:
        connection.executemany("INSERT INTO slo_events VALUES (?, ?, ?, ?)", rows)
    for _ in range(5):
        found = rig.evaluate()
        rig.clock.move(300)
    return {name.partition("/")[0] for name, state in found.items() if state == "firing"}


@pytest.mark.parametrize(
    ("invalid", "unsure", "alerts"),
    [
        (3, 0, set()),
        (10, 0, {"MapperSchemaInvalid"}),
        (100, 0, {"MapperSchemaInvalid", "MapperSchemaValidBudgetBurn"}),
        (0, 100, set()),
        (0, 101, {"MapperFallbackHigh"}),
        (100, 1, {"MapperSchemaInvalid", "MapperSchemaValidBudgetBurn", "MapperFallbackHigh"}),
    ],
)
def test_the_right_alerts_fire_and_no_others(
    tmp_path: Path, scene: Scene, invalid: int, unsure: int, alerts: set[str]
) -> None:
    good = 1000 - invalid - unsure
    for count, how in (
        (invalid, outcome("schema_validation_failed", False)),
        (unsure, outcome("low_confidence", True)),
        (good, outcome()),
    ):
        for _ in range(count):
            scene.meter.mapped(DETECTOR, how, 0.1, counts=True)
    found = fired(tmp_path / "index", scene.told)
    # The seed's own alerts, and those of the error budgets, which other tests decide.
    own = {name for name in found if not name.endswith("BudgetBurn")}
    assert own == {name for name in alerts if not name.endswith("BudgetBurn")}
    if "MapperSchemaValidBudgetBurn" in alerts:
        assert "MapperSchemaValidBudgetBurn" in found


@pytest.mark.parametrize(
    ("seconds", "alerts"),
    [(0.19, set()), (0.21, {"MapperLatencyHigh"}),
     (0.26, {"MapperLatencyHigh", "MapperLatencyCritical"})],
)  # fmt: skip
def test_alerts_on_the_latency(
    tmp_path: Path, scene: Scene, seconds: float, alerts: set[str]
) -> None:
    for _ in range(100):
        scene.meter.mapped(DETECTOR, outcome(), seconds, counts=True)
    found = fired(tmp_path / "index", scene.told)
    assert {name for name in found if not name.endswith("BudgetBurn")} == alerts


def test_failures_of_our_own_make_it_unavailable(tmp_path: Path, scene: Scene) -> None:
    for number in range(100):
        scene.meter.mapped(DETECTOR, outcome(), 0.1, counts=True)
        if number % 50 == 0:
            scene.meter.failed(DETECTOR, "internal_error", 0.1, counts=True)
    assert "MapperUnavailable" in fired(tmp_path / "index", scene.told)


def test_what_is_the_clients_fault_or_a_test_counts_for_no_objective(scene: Scene) -> None:
    scene.meter.refused(DETECTOR, "invalid_request")
    scene.meter.refused(DETECTOR, "rate_limited")
    scene.meter.replayed(DETECTOR)
    scene.meter.failed(DETECTOR, "internal_error", 0.1, counts=False)
    scene.meter.mapped(DETECTOR, outcome(), 0.1, counts=False)
    assert scene.told == []
    found = scene.samples()
    statuses = {status: n for (name, status), n in found.items() if name == "mapper_requests_total"}
    assert statuses == dict.fromkeys(
        ("invalid_request", "rate_limited", "replayed", "internal_error", "success"), 1
    )


def outcome(fallback: str | None = None, valid: bool | None = True) -> Outcome:
    return Outcome(Mapped(("A",), {"A": 1.0}, 0.9), fallback, valid, None if fallback else "m")


def test_the_last_minute(scene: Scene) -> None:
    assert described([scene.meter.recent()]) == {
        "requests_per_s": 0.0,
        "fallback_share": None,
        "schema_valid_share": None,
        "p95_ms": None,
    }
    for number in range(60):
        fallback = "schema_validation_failed" if number < 6 else None
        scene.meter.mapped(DETECTOR, outcome(fallback, fallback is None), 0.15, counts=True)
        scene.clock.move(0.5)
    two = [scene.meter.recent()] * 2  # as of two workers
    found = described(two)
    assert (found["requests_per_s"], found["fallback_share"]) == (2.0, 0.1)
    assert found["schema_valid_share"] == 0.9
    assert 120 < found["p95_ms"] <= 160
    scene.clock.move(61)
    assert described([scene.meter.recent()])["requests_per_s"] == 0


def test_a_quantile_beyond_the_buckets_is_the_last_bound(scene: Scene) -> None:
    scene.meter.mapped(DETECTOR, outcome(), 60.0, counts=True)
    assert described([scene.meter.recent()])["p95_ms"] == 10_000
