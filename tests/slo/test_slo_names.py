"""Names of alerts, durations and addresses of runbooks."""

import re

import pytest

from airouter.settings.load import ROOT
from airouter.slo.load import PROFILES, load_profiles
from airouter.slo.names import alert_name, duration, runbook_url
from airouter.slo.objectives import Measure, Objective


def named(name: str) -> str:
    return alert_name(Objective(name, "x", "d", Measure("up"), 0.9))


def test_an_alert_is_named_after_its_objective() -> None:
    assert named("primary-not-slow") == "PrimaryNotSlowBudgetBurn"
    assert named("001-coder-p95") == "Slo001CoderP95BudgetBurn"


def test_names_of_all_alerts_are_unique_words() -> None:
    profiles = load_profiles(PROFILES, ROOT / "config" / "slo")
    names = [alert_name(one) for profile in profiles for one in profile.objectives]
    names += [alert.name for profile in profiles for alert in profile.alerts]
    assert len(names) > 30
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+", name) for name in names)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (90, "90s"),
        (300, "5m"),
        (7_200, "2h"),
        (21_600, "6h"),
        (86_400, "1d"),
        (2_592_000, "30d"),
    ],
)
def test_durations_are_in_the_largest_whole_unit(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("folder", ["docs/runbooks", "docs/runbooks/"])
def test_a_runbook_is_a_page_of_the_folder(folder: str) -> None:
    assert runbook_url(folder, "failover") == "docs/runbooks/failover.md"
