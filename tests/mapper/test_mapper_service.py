"""A batch: in parallel as far as the backend has room, each request by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mapper_world import DETECTOR, Scene, mapping, request

from airouter.domain.errors import ClientGone, DeadlineExceeded
from airouter.flow.exchange import Exchange
from airouter.mapper.answer import Outcome
from airouter.mapper.requests import MapRequest
from airouter.mapper.service import Mapper

SLOTS = 4  # of each backend
Told = dict[int, tuple[Any, float]]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def run(scene: Scene, requests: list[MapRequest], limit: float | None = None) -> Told:
    """What is told of each request."""
    exchange = Exchange(scene.clock, client=None, client_ip="", total=300)
    if limit is not None:
        exchange.limit(limit)
    told: Told = {}

    def keep(index: int, outcome: Outcome | Exception, seconds: float) -> None:
        assert index not in told
        told[index] = outcome, seconds

    flow = scene.mapper.map_all(exchange, dict(enumerate(requests)), keep)
    try:
        scene.world.run(exchange, flow)  # type: ignore[arg-type]
    finally:
        exchange.close()
        assert all(b.limiter.in_use == 0 for b in scene.state.backends.values())
    return told


def test_as_many_at_a_time_as_the_backend_has_slots(scene: Scene) -> None:
    scene.says(mapping(scene.label()), after=0.12)
    told = run(scene, [request()] * 3 * SLOTS)
    assert {outcome.model for outcome, _ in told.values()} == {"primary-model"}
    assert scene.world.now == pytest.approx(3 * 0.12, abs=0.02)
    assert all(seconds == pytest.approx(0.12, abs=0.01) for _, seconds in told.values())


def test_each_has_its_own_limit_and_reason(scene: Scene) -> None:
    good, unsure = mapping(scene.label()), mapping(scene.label(), confidence=0.1)
    scene.says(good, [], "no JSON", unsure, good)
    told = run(scene, [request()] * 5)
    reasons = [told[index][0].fallback for index in range(5)]
    assert sorted(map(str, reasons)) == [
        "None", "None", "low_confidence", "model_error", "schema_validation_failed",
    ]  # fmt: skip
    assert scene.world.now == pytest.approx(0.5, abs=0.01)


def test_no_model_is_asked_for_those_that_need_none(scene: Scene) -> None:
    scene.says(mapping(scene.label()))
    told = run(scene, [request(detector="nobody's"), request()])
    assert told[0][0].mapped.scores == {"OTHER.Unknown": 0.0}
    assert len(scene.sent) == 1


def test_rules_alone_take_no_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, serving_mode="rules_only")
    told = run(scene, [request()] * 100)
    assert [told[index][0].fallback for index in range(100)] == ["kill_switch"] * 100
    assert scene.world.now == 0


def test_a_fault_stays_with_its_request(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.says(mapping(scene.label()))

    def broken(_mapper: Mapper, _request: MapRequest) -> Any:
        raise KeyError

    monkeypatch.setattr(Mapper, "_by_rules", broken)
    told = run(scene, [request("bad", "nobody's"), request()])
    assert isinstance(told[0][0], KeyError)
    assert told[1][0].model == "primary-model"


def test_the_deadline_ends_all_of_it(scene: Scene) -> None:
    scene.says(mapping(scene.label()), after=0.12)
    with pytest.raises(DeadlineExceeded):
        run(scene, [request()] * 100, limit=0.5)
    assert len(scene.sent) < 100


def test_so_does_a_client_that_leaves(scene: Scene) -> None:
    scene.says([])
    scene.world.client_leaves = 0.2
    with pytest.raises(ClientGone):
        run(scene, [request()] * 10)
    assert scene.world.now == pytest.approx(0.2)


def test_a_metrics_label_is_a_known_detector(scene: Scene) -> None:
    assert scene.mapper.metric_label(DETECTOR) == DETECTOR
    assert scene.mapper.metric_label("invented") == "unknown"
    assert scene.mapper.metric_label(None) == "unknown"
