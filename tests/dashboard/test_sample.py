"""Percentiles of every n-th request."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from airouter.dashboard import sample
from airouter.dashboard.sample import Sample, percentiles
from airouter.domain.clock import Clock
from airouter.index.reading import NAME, read_only

ASKED = {"endpoint": "chat", "requested_route": "auto", "label": "SIMPLE"}


def look(made: Sample, folder: Any, rows: tuple[int, int] = (0, 1_000_000), total: int = 1) -> None:
    with closing(read_only(folder / NAME)) as connection:
        made.read(connection, Clock.time() - 900, rows, total)


def looked(folder: Any, total: int = 1) -> Sample:
    made = Sample()
    look(made, folder, total=total)
    return made


def test_percentiles_are_by_the_nearest_rank():
    values = np.arange(1.0, 101.0)
    assert percentiles(values) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles(np.array([np.nan, 7.0])) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles(np.array([np.nan])) is None


def test_nothing_yet():
    empty = Sample()
    assert empty.percentiles("ttft_ms") is None
    assert list(empty.stages()) == []
    assert empty.series("ttft_ms", 0.0, 15, 3)["p99"] == [None, None, None]
    assert empty.tokens_per_second() == empty.decisions() == empty.by("route", "ttft_ms") == {}
    assert empty.saved_at_once(True) is None


def test_times_are_of_answers(tmp_path, rows):
    for ttft in (10.0, 20.0, 30.0):
        rows({"ttft_ms": ttft})
    rows({"ttft_ms": 9000.0, "outcome": "upstream_error"})
    found = looked(tmp_path)
    assert found.percentiles("ttft_ms") == {"p50": 20.0, "p95": 30.0, "p99": 30.0}
    assert found.complete


def test_of_many_requests_a_part_is_looked_at(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(sample, "MOST", 10)
    rows(count=40)
    found = looked(tmp_path, 40)
    assert not found.complete
    assert next(iter(found.stages()))["n"] <= 10


def test_only_new_rows_are_read_and_more_are_left_out_as_they_become_many(
    tmp_path, rows, monkeypatch
):
    monkeypatch.setattr(sample, "MOST", 16)
    made = Sample()
    rows({"backend": "a", "ttft_ms": 1.0}, count=16)
    look(made, tmp_path, (0, 16), 16)
    assert made.complete
    rows({"backend": "b", "ttft_ms": 2.0}, count=48)
    look(made, tmp_path, (16, 64), 64)
    assert not made.complete
    counted = {one["stage"]: one["n"] for one in made.stages()}
    assert counted["total"] == 16, "every fourth, of those read before, too"
    assert made.by("backend", "ttft_ms")["a"]["p50"] == 1.0
    assert made.percentiles("ttft_ms")["p50"] == 2.0
    look(made, tmp_path, (64, 64), 12)  # most have become old
    assert made.complete
    assert {one["stage"]: one["n"] for one in made.stages()}["total"] == 64


def test_what_has_become_old_is_forgotten(tmp_path, rows):
    made = Sample()
    rows({"ttft_ms": 1.0}, count=3)
    look(made, tmp_path)
    with closing(read_only(tmp_path / NAME)) as connection:
        made.read(connection, Clock.time() + 100, (3, 3), 0)
    assert made.percentiles("ttft_ms") is None


def test_stages_and_rates(tmp_path, rows):
    rows(
        ASKED
        | {
            "enrichment_ms": 200.0,
            "queue_ms": 5.0,
            "connect_ms": 3.0,
            "backend_ttft_ms": 100.0,
            "inference_ms": 1100.0,
            "usage": {"completion_tokens": 50},
            "classification_ms": 12.0,
        }
    )
    rows({"requested_route": "xai", "classification_ms": 0.0})  # its route was forced
    found = looked(tmp_path)
    stages = {one["stage"]: one for one in found.stages()}
    assert stages["decision"]["n"] == 1
    assert stages["decision"]["p50"] == 12.0
    assert stages["search"]["p99"] == 200.0
    assert list(stages)[:3] == ["decision", "search", "queue"]
    assert found.tokens_per_second() == {"primary": 50.0}


@pytest.mark.parametrize(("speculates", "saved"), [(False, 0.995), (True, 0.9)])
def test_what_instant_decisions_save(tmp_path, rows, speculates, saved):
    """Compared with the median of the decisions by a model, which take a second; where the primary
    would have begun meanwhile, what comes after its first content."""
    decided = ASKED | {"tier": "learned", "classification_ms": 5.0, "backend_ttft_ms": 100.0}
    rows(decided, count=3)
    rows(ASKED | {"tier": "reasoning", "classification_ms": 1000.0})
    rows(decided | {"requested_route": "primary"})  # a forced route saves nothing
    mean, compared = looked(tmp_path).saved_at_once(speculates)
    assert compared == 1000.0
    assert mean == pytest.approx(1000 * saved)


def test_without_a_decision_by_a_model_there_is_nothing_to_compare_with(tmp_path, rows):
    rows(ASKED | {"tier": "learned", "classification_ms": 5.0})
    assert looked(tmp_path).saved_at_once(True) is None


def test_per_bucket_of_time(tmp_path, rows):
    now = Clock.time()
    since = now - 900
    rows({"ttft_ms": 10.0}, ago=850)
    rows({"ttft_ms": 30.0}, ago=20)
    found = looked(tmp_path).series("ttft_ms", since, 90, 10)
    assert found["p50"] == [10.0, *[None] * 8, 30.0]
