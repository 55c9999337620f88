"""Each limit in config/slo/ is a bucket bound of the histogram that shows it: otherwise Prometheus
could only guess on which side of the limit a request was."""

from pathlib import Path

import pytest

from airouter.settings.load import ROOT
from airouter.settings.yaml_file import read_yaml
from airouter.slo.load import PROFILES, load_profiles
from airouter.telemetry.metrics import Metrics

FOLDER = ROOT / "config" / "slo"
# The histogram that shows a kind of limit; None: none does.
OBJECTIVES = {
    "answer_ms": "stage_duration",
    "ttft_ms": "backend_ttft",
    "total_ms": "stage_duration",
    "own_ms": "own",
    "failover_ms": "stage_duration",
    "readiness_ms": None,
    "cold": None,
    "sustained": None,
    "burst": None,
    "recovered": None,
    "mapper": None,
}
LOAD_TEST = {"total_ms": "stage_duration", "ttft_ms": "ttft", "gap_ms": "gap", "added_ms": "own"}


@pytest.fixture(scope="module")
def bounds():
    names = Metrics().registry._names_to_collectors

    def of(histogram):
        return {float(bound) for bound in names[f"airouter_{histogram}_seconds"]._kwargs["buckets"]}

    return of


def limits_of_profiles():
    """(histogram, limit in ms) of the objectives."""
    for profile in load_profiles(PROFILES, FOLDER):
        for objective in profile.objectives:
            measure = objective.measure
            if measure.limit is not None and OBJECTIVES[measure.kind]:
                yield OBJECTIVES[measure.kind], measure.limit


def limits_of_the_load_test(path: Path):
    """(histogram, limit in ms) of the files that are no profiles."""
    file = read_yaml(path)
    sections = [*file["routes"].values(), file["streams"], {"added_ms": file["added_ms"]}]
    for section in sections:
        for kind, limits in section.items():
            if kind in LOAD_TEST:
                yield from ((LOAD_TEST[kind], limit) for limit in limits.values())


def test_every_file_is_read():
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    assert names == {"router", "router-embedded"} | {
        f"{kind}-{name}"
        for name in PROFILES
        for kind in ("endpoints", "objectives")
        if (FOLDER / f"{kind}-{name}.yaml").exists()
    }


def test_every_limit_is_a_bound(bounds):
    limits = {
        *limits_of_profiles(),
        *limits_of_the_load_test(FOLDER / "router.yaml"),
        *limits_of_the_load_test(FOLDER / "router-embedded.yaml"),
    }
    assert len(limits) > 30
    assert {histogram for histogram, _ in limits} == {
        *("stage_duration", "backend_ttft", "ttft", "own", "gap")
    }
    missing = [
        (histogram, limit) for histogram, limit in limits if limit / 1000 not in bounds(histogram)
    ]
    assert missing == []


def test_there_are_not_many(bounds):
    """Each is a series per label combination."""
    for histogram in ("own", "gap", "queue_wait", "connect", "backend_ttft"):
        assert len(bounds(histogram)) <= 15
    assert len(bounds("ttft")) <= 25
    assert len(bounds("stage_duration")) <= 30
