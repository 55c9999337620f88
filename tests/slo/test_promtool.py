"""The generated rules under the real promtool, on synthetic series of the counter of events."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from promtool import Case, Check, counter, events, judge, needs_promtool, profile, run

from airouter.settings.load import ROOT
from airouter.slo.load import PROFILES
from airouter.slo.names import alert_name
from airouter.slo.objectives import BURN_RATES, Alert, Objective
from airouter.slo.rules import rules_yaml

pytestmark = needs_promtool
DEPLOY = ROOT / "deploy" / "prometheus"
NOTHING: frozenset[tuple[str, str, str]] = frozenset()


def burning(name: str, *severities: str) -> frozenset[tuple[str, str, str]]:
    return frozenset((name, severity, "firing") for severity in severities)


AVAILABLE = "AvailableBudgetBurn"  # of profile 004; its budget is 1 %
TICKET, BOTH = burning(AVAILABLE, "warning"), burning(AVAILABLE, "warning", "critical")


def available(*phases: tuple[int, float, float]) -> dict[str, str]:
    """(samples, bad, good per sample) of the objective `available`."""
    return events(
        "available",
        counter(*((samples, bad) for samples, bad, _ in phases)),
        counter(*((samples, good) for samples, _, good in phases)),
    )


CASES = (
    Case(
        "a fast burn pages once both windows have it",
        "004",
        available((360, 0, 100), (70, 50, 50)),  # 50 % fail after six hours without a failure
        (
            Check("6h"),
            Check("6h10m", TICKET),  # 8 % within the hour: less than 14.4 times the budget
            Check("6h20m", BOTH),  # 16 %
        ),
    ),
    Case(
        "a burn that has stopped is silenced by the short windows",
        "004",
        available((360, 0, 100), (30, 50, 50), (420, 0, 100)),
        (
            Check("6h30m", BOTH),
            Check("6h36m", TICKET),  # the hour is still bad, the last five minutes are not
            Check("8h", TICKET),
            Check("13h"),  # none within six hours
        ),
    ),
    Case(
        "six times the budget pages by the second pair of windows",
        "004",
        available((370, 7, 93)),
        (Check("6h10m", BOTH),),
    ),
    Case(
        "a slow burn makes a ticket and pages nobody",
        "004",
        available((370, 4, 96)),
        (Check("5m", TICKET), Check("6h10m", TICKET)),
    ),
    Case(
        "one and a half times the budget for three days makes a ticket",
        "004",
        available((1100, 3, 197)),
        (Check("72h", TICKET),),
        interval="4m",
    ),
    Case(
        "nine tenths of the budget are within it",
        "004",
        available((1100, 9, 991)),
        (Check("1h"), Check("24h"), Check("72h")),
        interval="4m",
    ),
    Case(
        "a share of exactly the budget is not above it",
        "004",
        available((370, 1, 99)),
        (Check("1h"), Check("6h10m")),
    ),
    Case("no traffic", "004", available((370, 0, 0)), (Check("10m"), Check("6h10m"))),
    Case("no series at all", "004", {}, (Check("10m"), Check("30m"))),
    Case(
        "a storm of 429 that is tagged as a test is not counted, and changes nothing",
        "004",
        available((120, 0, 100), (60, 0, 0), (120, 0, 100)),
        (Check("2h"), Check("2h30m"), Check("3h"), Check("5h")),
    ),
    Case(
        "an outage after which nobody asks any more",
        "004",
        available((30, 100, 0), (460, 0, 0)),
        (Check("30m", BOTH), Check("45m", BOTH), Check("1h5m", TICKET), Check("8h")),
    ),
    Case(
        "a restart of the router resets its counters, which is no failure",
        "004",
        events("available", "0+1x60 0+1x60", "0+999x60 0+999x60"),
        (Check("1h"), Check("1h1m"), Check("2h")),
    ),
    Case(
        "two routers are one service",
        "004",
        events("available", counter((60, 10)), counter((60, 0)))
        | events("available", counter((60, 0)), counter((60, 9990)), instance="b"),
        (Check("5m"), Check("1h")),
    ),
    Case(
        "each objective has a budget of its own",
        "004",
        available((60, 0, 100)) | events("meta-not-slow", "0+90x60", "0+10x60"),
        (Check("1h", burning("MetaNotSlowBudgetBurn", "critical", "warning")),),
    ),
    Case(
        "an informational objective alerts by the profile's table only",
        "002",
        events("mapper-available", "0+1x60", "0+0x60")
        | events("mapper-p95-gpu", "0+1x60", "0+0x60"),
        (Check("30m", burning("MapperUnavailable", "critical")),),
    ),
    Case(
        "an objective without a target has no budget to burn",
        "002",
        events("mapper-within-200ms", "0+1x60", "0+0x60"),
        (Check("30m", burning("MapperLatencyHigh", "warning")),),
    ),
    Case(
        "best effort is informational",
        "001",
        events("001-deepseek-r1-up", "0+1x60", "0+0x60"),
        (Check("30m"),),
    ),
    Case(
        "a backend that is down",
        "001",
        events("001-coder-up", "0+1x60", "0+0x60"),
        (Check("30m", burning("Slo001CoderUpBudgetBurn", "critical", "warning")),),
    ),
    Case(
        "one prompt of fifty sent to a cloud without need",
        "003",
        events("cloud-last", "0+2x60", "0+98x60"),
        (Check("30m", burning("CloudLastBudgetBurn", "critical", "warning")),),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_synthetic_series_raise_exactly_these_alerts(case: Case, tmp_path: Path) -> None:
    assert judge(case, tmp_path) == ""


def _minutes(seconds: int) -> str:
    return f"{seconds // 60}m"


ALERTS = profile("002").alerts


def _at_threshold(alert: Alert, difference: int) -> dict[str, str]:
    """For twice `for`, a share of bad events that differs from the threshold by so many of 10,000;
    then good ones."""
    bad, minutes = round(alert.above * 10_000) + difference, 2 * alert.lasting // 60
    return events(
        alert.slo,
        counter((minutes, bad), (10, 0)),
        counter((minutes, 10_000 - bad), (10, 10_000)),
    )


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_of_seed_002_is_pending_then_firing_then_resolved(
    alert: Alert, tmp_path: Path
) -> None:
    """Just above its threshold. The first share is known after the second sample, a minute in."""
    only = f'alertname="{alert.name}"'
    pending = frozenset({(alert.name, alert.severity, "pending")})
    checks = (
        Check("1m", pending, only),
        Check(_minutes(alert.lasting), pending, only),
        Check(_minutes(alert.lasting + 60), burning(alert.name, alert.severity), only),
        Check(_minutes(2 * alert.lasting), burning(alert.name, alert.severity), only),
        Check(_minutes(2 * alert.lasting + 120), NOTHING, only),
    )
    assert judge(Case("", "002", _at_threshold(alert, 1), checks), tmp_path) == ""


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_of_seed_002_is_silent_just_below_its_threshold(
    alert: Alert, tmp_path: Path
) -> None:
    only = f'alertname="{alert.name}"'
    times = ("1m", _minutes(alert.lasting), _minutes(2 * alert.lasting))
    checks = tuple(Check(at, NOTHING, only) for at in times)
    assert judge(Case("", "002", _at_threshold(alert, -1), checks), tmp_path) == ""


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_of_seed_002_needs_its_whole_time(alert: Alert, tmp_path: Path) -> None:
    """A breach that is over a little earlier is not told."""
    only = f'alertname="{alert.name}"'
    minutes = alert.lasting // 60 - 1
    bad = round(alert.above * 10_000) + 1
    series = events(
        alert.slo,
        counter((minutes, bad), (30, 0)),
        counter((minutes, 10_000 - bad), (30, 10_000)),
    )
    checks = tuple(
        Check(_minutes(60 * (minutes + more)), NOTHING, f'{only},alertstate="firing"')
        for more in (0, 1, 2, 3, 5, 10, 20)
    )
    assert judge(Case("", "002", series, checks), tmp_path) == ""


def budgeted(name: str) -> list[Objective]:
    return [one for one in profile(name).objectives if one.target is not None]


@pytest.mark.parametrize("name", PROFILES)
def test_each_objective_of_a_profile_holds_at_half_its_budget(name: str, tmp_path: Path) -> None:
    series: dict[str, str] = {}
    for one in profile(name).objectives:
        # An objective without a target has the threshold of its alert.
        budget = one.budget if one.target is not None else 0.05
        series |= events(one.name, f"0+{budget / 2:.6f}x60", f"0+{1 - budget / 2:.6f}x60")
    checks = tuple(Check(at) for at in ("5m", "30m"))
    assert judge(Case("", name, series, checks), tmp_path) == ""


@pytest.mark.parametrize("name", PROFILES)
def test_each_objective_of_a_profile_is_breached_alone(name: str, tmp_path: Path) -> None:
    """Each by nothing but bad events: all alerts of their budgets, and no other."""
    series: dict[str, str] = {}
    expected: frozenset[tuple[str, str, str]] = frozenset()
    for one in budgeted(name):
        series |= events(one.name, "0+1x60", "0+0x60")
        if not one.informational:
            expected |= burning(alert_name(one), *{rate.severity for rate in BURN_RATES})
    assert expected
    checks = (Check("30m", expected, 'alertname=~".*BudgetBurn"'),)
    assert judge(Case("", name, series, checks), tmp_path) == ""


def test_in_an_environment_without_limits_latency_is_informational(tmp_path: Path) -> None:
    series = events("001-coder-p95", "0+1x60", "0+0x60")
    assert judge(Case("", "001", series, (Check("30m"),)), tmp_path, "ci") == ""
    assert "001-coder-p95" in rules_yaml((profile("001", "ci"),))


def test_recorded_series_have_sloths_names_labels_and_values(tmp_path: Path) -> None:
    ids = 'sloth_id="ai-router-available",sloth_service="ai-router",sloth_slo="available"'
    values = {
        f'slo:sli_error:ratio_rate{window}{{{ids},sloth_window="{window}"}}': 0.004
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    } | {
        f"slo:objective:ratio{{{ids}}}": 0.99,
        f"slo:error_budget:ratio{{{ids}}}": 0.01,
        f"slo:time_period:days{{{ids}}}": 30,
        f'slo:current_burn_rate:ratio{{{ids},sloth_window="5m"}}': 0.4,
        f'slo:period_burn_rate:ratio{{{ids},sloth_window="30d"}}': 0.4,
        f'slo:period_error_budget_remaining:ratio{{{ids},sloth_window="30d"}}': 0.6,
        f"sloth_slo_info{{{ids}}}": 1,
    }
    tests = [
        {
            "expr": f"round({series}, 0.000001)",
            "eval_time": "1h",
            "exp_samples": [{"labels": series[series.index("{") :], "value": value}],
        }
        for series, value in values.items()
    ]
    case = Case("", "004", available((60, 4, 996)), (), more={"promql_expr_test": tests})
    assert judge(case, tmp_path) == ""


def test_without_events_there_is_no_share_instead_of_nan(tmp_path: Path) -> None:
    """NaN would spread into whatever is computed from it."""
    none = {"expr": '{__name__=~"slo:.*rate.*|.*remaining.*"}', "eval_time": "1h"}
    case = Case("", "004", available((60, 0, 0)), (), more={"promql_expr_test": [none]})
    assert judge(case, tmp_path) == ""


def test_an_alert_says_what_is_wrong_and_where_to_look(tmp_path: Path) -> None:
    budget = {
        "eval_time": "30m",
        "alertname": "MapperSchemaValidBudgetBurn",
        "exp_alerts": [
            {
                "exp_labels": {
                    "severity": severity,
                    "priority": priority,
                    "slo": "mapper-schema-valid",
                    "sloth_id": "ai-router-mapper-schema-valid",
                    "sloth_service": "ai-router",
                    "sloth_slo": "mapper-schema-valid",
                },
                "exp_annotations": {
                    "summary": "The error budget of mapper-schema-valid is being used up too fast.",
                    "description": "8% of recent events are bad; the budget is 0.5 % in 30 days. "
                    "Objective: the model's output is valid against the schema.",
                    "runbook_url": "docs/runbooks/mapper-schema-valid.md",
                },
            }
            for severity, priority in (("critical", "P1"), ("warning", "P2"))
        ],
    }
    table = {
        "eval_time": "30m",
        "alertname": "MapperSchemaInvalid",
        "exp_alerts": [
            {
                "exp_labels": budget["exp_alerts"][0]["exp_labels"] | {"sloth_window": "5m"},
                "exp_annotations": {
                    "summary": "Less than 99.5 % of the model's outputs are valid against the "
                    "schema.",
                    "description": "8% of the events of mapper-schema-valid within 5m are bad; the "
                    "limit is 0.5 %.",
                    "runbook_url": "docs/runbooks/mapper-schema-valid.md",
                },
            }
        ],
    }
    series = events("mapper-schema-valid", "0+8x60", "0+92x60")
    case = Case("", "002", series, (), more={"alert_rule_test": [budget, table]})
    assert judge(case, tmp_path) == ""


def test_promtool_would_find_a_missing_alert(tmp_path: Path) -> None:
    """The tests above can fail."""
    case = Case("", "004", available((60, 90, 10)), (Check("30m"),))
    assert AVAILABLE in judge(case, tmp_path)


@pytest.mark.parametrize("name", PROFILES)
def test_promtool_accepts_the_rules_of_every_profile(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules_yaml((profile(name),)))
    result = run("check", "rules", tmp_path / "rules.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_accepts_the_configuration_of_prometheus(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "prometheus")
    (tmp_path / "prometheus" / "ai-router.key").write_text("key")
    result = run("check", "config", tmp_path / "prometheus" / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
