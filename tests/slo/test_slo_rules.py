"""The rules for Prometheus, as data; tests/slo/test_promtool.py evaluates them."""

from typing import Any

import pytest
import yaml

from airouter.settings.load import ROOT
from airouter.slo.load import PROFILES, load_profiles
from airouter.slo.objectives import Measure, Objective, Profile
from airouter.slo.rules import rule_groups, rules_yaml

FOLDER = ROOT / "config" / "slo"
DEPLOY = ROOT / "deploy" / "prometheus"


def rules_of(profiles: tuple[Profile, ...], **options: str) -> list[dict[str, Any]]:
    return [rule for group in rule_groups(profiles, **options)["groups"] for rule in group["rules"]]


def one(target: float | None = 0.99, informational: bool = False) -> tuple[Profile, ...]:
    objective = Objective(
        "fast", "x", "it is fast", Measure("own_ms", 1), target, informational=informational
    )
    return (Profile("x", (objective,)),)


def test_an_objective_has_recorded_series_and_two_alerts() -> None:
    rules = rules_of(one())
    assert [rule["record"] for rule in rules if "record" in rule] == [
        *(f"slo:sli_error:ratio_rate{w}" for w in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")),
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "sloth_slo_info",
        "slo:sli_error:ratio_rate30d",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
    ]
    assert [(rule["alert"], rule["labels"]) for rule in rules if "alert" in rule] == [
        ("FastBudgetBurn", {"severity": "critical", "priority": "P1", "slo": "fast"}),
        ("FastBudgetBurn", {"severity": "warning", "priority": "P2", "slo": "fast"}),
    ]


def test_thresholds_are_written_as_people_would() -> None:
    """1 - 0.99 is 0.010000000000000009."""
    critical, warning = [rule["expr"] for rule in rules_of(one()) if "alert" in rule]
    assert critical.count("> 0.144") == critical.count("> 0.06") == 2
    assert warning.count("> 0.03") == warning.count("> 0.01") == 2
    assert "0000000" not in rules_yaml(load_profiles(PROFILES, FOLDER))


def test_an_informational_objective_is_recorded_without_alerts() -> None:
    rules = rules_of(one(informational=True))
    assert [rule for rule in rules if "alert" in rule] == []
    assert len(rules) == len(rules_of(one())) - 2


def test_an_objective_without_a_target_has_what_its_alert_needs() -> None:
    assert rules_of(one(target=None)) == []
    groups = rule_groups(load_profiles(["002"], FOLDER))["groups"]
    group = next(group for group in groups if group["name"] == "slo-mapper-within-200ms")
    assert [rule.get("record", rule.get("alert")) for rule in group["rules"]] == [
        "slo:sli_error:ratio_rate5m",
        "MapperLatencyHigh",
    ]


def test_the_table_of_seed_002() -> None:
    rules = {rule.get("alert"): rule for rule in rules_of(load_profiles(["002"], FOLDER))}
    assert {
        name: (rules[name]["expr"].split(" > ")[1], rules[name]["for"], rules[name]["labels"])
        for name in rules
        if name and not name.endswith("BudgetBurn")
    } == {
        name: (above, lasting, {"severity": severity, "priority": priority, "slo": slo})
        for name, above, lasting, severity, priority, slo in (
            ("MapperLatencyHigh", "0.05", "5m", "warning", "P2", "mapper-within-200ms"),
            ("MapperLatencyCritical", "0.05", "10m", "critical", "P1", "mapper-p95"),
            ("MapperSchemaInvalid", "0.005", "15m", "critical", "P1", "mapper-schema-valid"),
            ("MapperFallbackHigh", "0.1", "10m", "warning", "P2", "mapper-by-model"),
            ("MapperUnavailable", "0.01", "10m", "critical", "P1", "mapper-available"),
        )
    }


def test_every_alert_links_its_runbook() -> None:
    profiles = load_profiles(PROFILES, FOLDER)
    links = {
        rule["annotations"]["runbook_url"]
        for rule in rules_of(profiles, runbooks="https://wiki/books/")
        if "alert" in rule
    }
    assert "https://wiki/books/failover.md" in links
    assert all(link.startswith("https://wiki/books/") for link in links)


@pytest.mark.parametrize("name", PROFILES)
def test_the_text_is_the_rules(name: str) -> None:
    profiles = load_profiles([name], FOLDER)
    assert yaml.safe_load(rules_yaml(profiles)) == rule_groups(profiles)


def test_names_of_groups_are_unique() -> None:
    """Prometheus refuses a file with two of the same name."""
    names = [group["name"] for group in rule_groups(load_profiles(PROFILES, FOLDER))["groups"]]
    assert len(set(names)) == len(names)


def test_the_rules_in_deploy_are_current() -> None:
    """`python -m airouter slo rules >deploy/prometheus/rules/ai-router.yaml` writes them."""
    written = (DEPLOY / "rules" / "ai-router.yaml").read_text(encoding="utf-8")
    assert written == rules_yaml(load_profiles(["001", "002", "004"], FOLDER))


def test_alertmanager_has_the_receivers_that_it_routes_to() -> None:
    """P1 pages, P2 makes a ticket."""
    config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text(encoding="utf-8"))
    routes = config["route"]["routes"]
    used = {config["route"]["receiver"], *(route["receiver"] for route in routes)}
    assert used == {receiver["name"] for receiver in config["receivers"]} == {"page", "ticket"}
    assert routes[0]["matchers"] == ['priority="P1"']
    assert routes[0]["receiver"] == "page"


def test_prometheus_reads_the_rules_and_scrapes_with_a_key() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["rules/*.yaml"]
    (scrape,) = config["scrape_configs"]
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["authorization"]["credentials_file"]
