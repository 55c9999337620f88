"""Thresholds, baselines, and when to calibrate again."""

import json
import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measured import (
    Record,
    floor_per_s,
    load,
    markdown,
    nearest,
    reasons,
    save,
    share_above,
    threshold_ms,
)
from bench.router_process import ROOT
from bench.slo import CalibrationRule, SloError, endpoint_profile
from bench.stats import bootstrap

RULE = CalibrationRule()


def record(seconds: list[float], **fields: object) -> Record:
    usual = Record(
        "coder",
        "a-model",
        "1.0",
        "a machine",
        "no GPU",
        "2026-02-16T10:00:00+00:00",
        False,
        seconds,
        threshold_ms=200.0,
    )
    return replace(usual, **fields)  # type: ignore[arg-type]


def around(center: float, n: int = 200, seed: int = 1) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(center, center / 20) for _ in range(n)]


def test_the_formula() -> None:
    assert threshold_ms(375, 25, RULE) == 800


@pytest.mark.parametrize(
    ("value", "step", "wanted"),
    [(849, 100, 800), (850, 100, 900), (250, 100, 300), (2.2, 100, 100), (5249, 500, 5000)],
)
def test_rounding_goes_to_the_nearest_and_never_to_zero(
    value: float, step: float, wanted: float
) -> None:
    assert nearest(value, step) == wanted


def test_a_floor_is_the_margin_the_other_way_round() -> None:
    assert floor_per_s(10_000, RULE) == 5000
    assert floor_per_s(10_600, RULE) == 5500
    assert floor_per_s(90, RULE) == 45


def test_nothing_changed_is_not_due() -> None:
    assert reasons(record(around(0.09)), record(around(0.09, 40, seed=2)), RULE) == []


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (record(around(0.09), model="another"), "another model"),
        (record(around(0.09), version="2.0"), "version of its server"),
        (record(around(0.09), hardware="another machine"), "other hardware"),
        (record([*around(0.09, 37), 0.3, 0.3, 0.3]), "8 % of 40 requests take more than 200 ms"),
        (record(around(0.04)), "optimised"),
    ],
)
def test_every_reason_is_named(now: Record, why: str) -> None:
    found = reasons(record(around(0.09)), now, RULE)
    assert len(found) == 1
    assert why in found[0]


def test_five_percent_above_is_still_allowed() -> None:
    assert share_above([0.1] * 38 + [0.3] * 2, 200) == 0.05
    assert reasons(record(around(0.1)), record([0.1] * 38 + [0.3] * 2), RULE) == []


def test_a_difference_by_chance_is_none_and_a_real_one_is() -> None:
    (same,) = bootstrap(around(0.1, 50, seed=4), (0.5,), less=around(0.1, 50))
    assert same.low <= 0 <= same.high
    (slower,) = bootstrap(around(0.12, 50, seed=2), (0.5,), less=around(0.1, 50))
    assert 0 < slower.low < slower.value < slower.high


def test_the_table_has_every_endpoint_with_dashes_for_what_was_never_measured() -> None:
    profile = endpoint_profile("000")
    lines = markdown(profile, {"coder-14b": [record([0.1] * 20), record([0.2] * 20)]})
    assert lines[0] == "| Endpoint | P50 | P95 | P99 | Mean | Date |"
    assert "| Qwen2.5-Coder-14B | 200 | 200 | 200 | 200 | 2026-02-16 |" in lines
    assert lines[-1] == "| Qwen2.5-14B | -- | -- | -- | -- | -- |"
    assert len(lines) == 2 + 5


def test_what_is_kept_comes_back_and_the_oldest_goes(tmp_path: Path) -> None:
    for i in range(25):
        save(tmp_path, "000", "baseline", [record([float(i)])])
    kept = load(tmp_path, "000", "baseline")["coder"]
    assert [each.seconds for each in kept] == [[float(i)] for i in range(5, 25)]
    assert load(tmp_path, "000", "calibration") == {}


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "000-baseline.json").write_text("{")
    with pytest.raises(SloError, match="cannot be read"):
        load(tmp_path, "000", "baseline")


# End to end, against the simulator ----------------------------------------------------------------


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLM_") and name != "CI"
    }
    return subprocess.run(
        [ROOT / "Benchmark", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )


@pytest.mark.tools
def test_calibrate_and_due(tmp_path: Path) -> None:
    out, store = tmp_path / "out.json", str(tmp_path / "store")
    usual = ("--endpoint", "embedding", "--store", store, "--quick", "--json", str(out))
    due = benchmark("due", *usual)
    assert due.returncode == 1
    assert "never calibrated" in due.stdout
    done = benchmark("calibrate", *usual, "--base", "p99")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(out.read_text())["results"][0]["rows"]
    assert (row["base"], row["threshold_ms"] % 100, row["model"]) == ("p99", 0, "embedding-model")
    assert row["hardware"]
    assert "(P99 + RTT) × 2" in done.stdout
    assert len(load(tmp_path / "store", "001", "calibration")["embedding"][0].seconds) == 5


@pytest.mark.tools
def test_baselines(tmp_path: Path) -> None:
    usual = (
        "--slo",
        "000",
        "--endpoint",
        "coder-14b",
        "--endpoint",
        "qwen2-vl",
        "--store",
        str(tmp_path),
        "--quick",
    )
    assert "no baseline yet" in benchmark("baseline", "compare", *usual).stdout
    assert benchmark("baseline", "save", *usual).returncode == 0
    table = benchmark("baseline", "table", *usual)
    assert table.stdout.startswith("| Endpoint | P50 | P95 | P99 | Mean | Date |\n")
    assert "(simulated)" in table.stdout
    compared = benchmark("baseline", "compare", *usual)
    assert "coder-14b" in compared.stdout
    assert "no baseline yet" not in compared.stdout


@pytest.mark.tools
def test_the_endpoints_are_profiled() -> None:
    done = benchmark("endpoint-profile", "--slo", "000", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in endpoint_profile("000").endpoints:
        assert name in done.stdout
    assert "simulated" in done.stdout


@pytest.mark.tools
def test_an_unknown_endpoint_or_profile_is_one_sentence() -> None:
    for words in (("--endpoint", "moon"), ("--slo", "777"), ("--environment", "moon")):
        done = benchmark("endpoint-profile", *words)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
