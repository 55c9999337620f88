"""Objectives from files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.settings.slo import SloSettings
from airouter.slo.load import load_profiles, present
from airouter.slo.objectives import Objective
from tests.slo.seeds import FOLDER, OBJECTIVES, SEEDS


def load(
    name: str, folder: Path = FOLDER, environment: str = "development"
) -> dict[str, Objective]:
    (profile,) = load_profiles([name], folder, environment)
    return {objective.name: objective for objective in profile.objectives}


def test_names_are_unique() -> None:
    names = [objective.name for objective in OBJECTIVES]
    assert len(set(names)) == len(names)


def test_the_seeds_own_alerts() -> None:
    found = {
        alert.name: (alert.slo, alert.above, alert.lasting, alert.severity)
        for profile in SEEDS
        for alert in profile.alerts
    }
    assert found == {
        "MapperLatencyHigh": ("mapper-within-200ms", 0.05, 300, "warning"),
        "MapperLatencyCritical": ("mapper-p95", 0.05, 600, "critical"),
        "MapperSchemaInvalid": ("mapper-schema-valid", 0.005, 900, "critical"),
        "MapperFallbackHigh": ("mapper-by-model", 0.1, 600, "warning"),
        "MapperUnavailable": ("mapper-available", 0.01, 600, "critical"),
        "TunedModelDrifted": ("tuned-model", 0.5, 0, "warning"),
    }


def test_an_environment_scales_latency_only() -> None:
    usual, strict = load("001"), load("001", environment="production")
    name = "001-coder-fast-p95"
    assert usual[name].measure.limit == 800
    assert strict[name].measure.limit == pytest.approx(480)
    assert strict["001-coder-sustained"] == usual["001-coder-sustained"]


def test_in_ci_latency_is_not_asserted() -> None:
    assert load("001", environment="ci")["001-coder-p95"].informational
    assert not load("001", environment="ci")["001-coder-sustained"].informational


def test_the_address_comes_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_CODER_URL", "http://127.0.0.1:9/v1")
    assert load("001")["001-coder-p95"].measure.url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nobjectives: {a: {description: d, measure: nonsense}}", "objectives.a.measure"),
        ("name: x\nobjectives: {a: {description: d, measure: mapper, target: 2}}", "a.target"),
        ("name: x\nobjectives: {a: {description: d, measure: mapper, tarjet: 0.9}}", "a.tarjet"),
        ("name: x\nobjectives: [", "not valid YAML"),
        ("name: x\nobjectives: {a: {description: d, measure: own_ms}}", "needs a limit"),
        (
            "name: x\nobjectives: {}\nalerts: {A: {description: d, slo: b, above: 0.1, window: 1,"
            " for: 1, severity: warning, runbook: r}}",
            "no objective 'b'",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "objectives-x.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load("x", tmp_path)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_profile_or_environment_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="000, 001, 002, 003, 004"):
        load("009")
    with pytest.raises(ConfigError, match="development, ci, production, degraded"):
        load("001", environment="staging")


def test_names_that_come_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 of the profile 004"):
        load_profiles(["004", "004"], FOLDER)


def test_of_profiles_those_that_are_there(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "endpoints-001.yaml", tmp_path)
    assert present(("001", "002"), tmp_path) == ("001",)


def test_yaml_reads_names_as_numbers() -> None:
    assert SloSettings.model_validate({"profiles": [1, "002", 4]}).profiles == ("001", "002", "004")


def test_an_endpoint_may_name_its_backend(tmp_path: Path) -> None:
    text = (FOLDER / "endpoints-001.yaml").read_text()
    (tmp_path / "endpoints-001.yaml").write_text(
        text.replace("env: LLM_CODER_URL", "env: LLM_CODER_URL\n    backend: big")
    )
    assert load("001", tmp_path)["001-coder-p95"].measure.backend == "big"
    shutil.rmtree(tmp_path)
