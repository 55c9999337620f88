"""What the tests with promtool share: synthetic counters, and how it is run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from airouter.settings.load import ROOT
from airouter.slo.load import load_profiles
from airouter.slo.objectives import Profile
from airouter.slo.rules import rules_yaml

FOLDER = ROOT / "config" / "slo"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing (Debian package prometheus)"
)
# Of the state pending or firing, by name and severity.
_ALERTS = "count by (alertname, severity, alertstate) (ALERTS{{{}}})"
# How promtool says that this is not as expected, and what there is instead.
_COMPLAINT = re.compile(r"time: (\w+),\s+exp: nil\s+got: (.*)")
_GOT = re.compile(r'alertname="(\w+)", alertstate="(\w+)", severity="(\w+)"')


def profile(name: str, environment: str = "development") -> Profile:
    return load_profiles((name,), FOLDER, environment)[0]


def counter(*phases: tuple[int, float], start: float = 0) -> str:
    """A counter as promtool writes it: from `start`, per phase so many samples later with so much
    more each."""
    value, parts = start, [f"{start:g}"]
    for samples, step in phases:
        first = value + step
        # `a+bxn` is n + 1 samples.
        parts.append(f"{first:.10g}+{step:.10g}x{samples - 1}")
        value += samples * step
    return " ".join(parts)


def events(slo: str, bad: str, good: str, instance: str = "a") -> dict[str, str]:
    """The two series of an objective."""
    labels = f'instance="{instance}",slo="{slo}"'
    return {
        f'airouter_slo_events_total{{{labels},good="false"}}': bad,
        f'airouter_slo_events_total{{{labels},good="true"}}': good,
    }


@dataclass(frozen=True)
class Check:
    """At `at`, exactly these alerts are there: (name, severity, state); of all, or of those that
    the selector names."""

    at: str
    alerts: frozenset[tuple[str, str, str]] = frozenset()
    selector: str = ""


@dataclass(frozen=True)
class Case:
    """Counters, a sample per `interval`, and what is to come of them."""

    name: str
    profile: str
    series: Mapping[str, str]
    checks: tuple[Check, ...]
    interval: str = "1m"
    more: Mapping[str, Any] = field(default_factory=dict)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


def judge(case: Case, folder: Path, environment: str = "development") -> str:
    """What promtool has against the rules; empty if nothing."""
    result = _tested(case, _expected(case), folder, environment)
    return "" if result.returncode == 0 else result.stdout + result.stderr


def timeline(case: Case, evaluations: int, folder: Path) -> list[dict[tuple[str, str], str]]:
    """What promtool says of alerts at each evaluation from 0: by name and severity, pending or
    firing. Nothing is expected of any, so that its complaints are what there is."""
    expected = [{"expr": _ALERTS.format(""), "eval_time": f"{at}m"} for at in range(evaluations)]
    result = _tested(case, {"promql_expr_test": expected}, folder)
    found: list[dict[tuple[str, str], str]] = [{} for _ in range(evaluations)]
    for at, got in _COMPLAINT.findall(result.stdout + result.stderr):
        for name, state, severity in _GOT.findall(got):
            found[_minutes(at)][name, severity] = state
    assert (result.returncode == 0) is not any(found), result.stdout + result.stderr
    return found


def _minutes(text: str) -> int:
    """Of a duration as promtool writes it: 1d2h3m."""
    units = {"d": 1440, "h": 60, "m": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([dhm])", text))


def _expected(case: Case) -> dict[str, Any]:
    test: dict[str, Any] = {
        "promql_expr_test": [
            {
                "expr": _ALERTS.format(check.selector),
                "eval_time": check.at,
                "exp_samples": [
                    {
                        "labels": f'{{alertname="{name}",severity="{severity}",'
                        f'alertstate="{state}"}}',
                        "value": 1,
                    }
                    for name, severity, state in sorted(check.alerts)
                ],
            }
            for check in case.checks
        ],
    }
    test["promql_expr_test"] += case.more.get("promql_expr_test", [])
    if "alert_rule_test" in case.more:
        test["alert_rule_test"] = case.more["alert_rule_test"]
    return test


def _tested(
    case: Case, expected: Mapping[str, Any], folder: Path, environment: str = "development"
) -> subprocess.CompletedProcess[str]:
    all_of_it = profile(case.profile, environment)
    # Rules for the objectives that have series: the others cost time.
    counted = tuple(
        one
        for one in all_of_it.objectives
        if any(f'slo="{one.name}"' in series for series in case.series)
    )
    rules = rules_yaml((replace(all_of_it, objectives=counted or all_of_it.objectives),))
    (folder / "rules.yaml").write_text(rules)
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    content = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": case.interval,
        "tests": [{"interval": case.interval, "input_series": series, **expected}],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(content))
    return run("test", "rules", folder / "test.yaml")
