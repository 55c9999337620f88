"""The objectives in the formats of OpenSLO and Sloth."""

import re

import yaml

from airouter.settings.load import ROOT
from airouter.slo.export import openslo, openslo_yaml, sloth, sloth_yaml
from airouter.slo.load import PROFILES, load_profiles

FOLDER = ROOT / "config" / "slo"
ALL = load_profiles(PROFILES, FOLDER)
WITH_TARGET = {
    one.name: one for profile in ALL for one in profile.objectives if one.target is not None
}


def test_openslo_has_an_sli_and_an_slo_for_each_objective_with_a_target() -> None:
    documents = openslo(ALL)
    assert {document["apiVersion"] for document in documents} == {"openslo/v1"}
    of = {
        kind: {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == kind}
        for kind in ("Service", "SLI", "SLO")
    }
    assert set(of["Service"]) == {"ai-router"}
    assert set(of["SLO"]) == set(WITH_TARGET)
    assert {spec["indicatorRef"] for spec in of["SLO"].values()} == set(of["SLI"])
    spec = of["SLO"]["mapper-schema-valid"]
    assert spec["objectives"] == [{"target": 0.995}]
    assert spec["timeWindow"] == [{"duration": "30d", "isRolling": True}]
    assert spec["budgetingMethod"] == "Occurrences"
    ratio = of["SLI"]["mapper-schema-valid-sli"]["ratioMetric"]
    assert ratio["counter"] is True
    assert ratio["good"]["metricSource"] == {
        "type": "Prometheus",
        "spec": {"query": 'sum(airouter_slo_events_total{slo="mapper-schema-valid",good="true"})'},
    }
    assert ratio["total"]["metricSource"]["spec"]["query"] == (
        'sum(airouter_slo_events_total{slo="mapper-schema-valid"})'
    )


def test_openslos_names_are_those_of_rfc_1123() -> None:
    for document in openslo(ALL):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", document["metadata"]["name"])


def test_sloth_has_each_objective_with_its_two_alerts() -> None:
    spec = sloth(ALL, "https://wiki")
    assert (spec["version"], spec["service"]) == ("prometheus/v1", "ai-router")
    slos = {slo["name"]: slo for slo in spec["slos"]}
    assert set(slos) == set(WITH_TARGET)
    slo = slos["mapper-schema-valid"]
    assert slo["objective"] == 99.5
    assert slo["sli"]["events"]["error_query"] == (
        'sum(rate(airouter_slo_events_total{slo="mapper-schema-valid",good="false"}[{{.window}}]))'
    )
    alerting = slo["alerting"]
    assert alerting["name"] == "MapperSchemaValidBudgetBurn"
    assert alerting["annotations"]["runbook_url"] == "https://wiki/mapper-schema-valid.md"
    assert alerting["page_alert"] == {"labels": {"severity": "critical", "priority": "P1"}}
    assert alerting["ticket_alert"] == {"labels": {"severity": "warning", "priority": "P2"}}


def test_sloth_makes_no_alerts_for_informational_objectives() -> None:
    disabled = {
        slo["name"]
        for slo in sloth(ALL, "")["slos"]
        if slo["alerting"]["page_alert"] == slo["alerting"]["ticket_alert"] == {"disable": True}
    }
    assert disabled == {name for name, one in WITH_TARGET.items() if one.informational}
    assert disabled


def test_percentages_are_as_declared() -> None:
    """100 × 0.999 is 99.9."""
    for slo in sloth(ALL, "")["slos"]:
        assert len(str(slo["objective"])) <= 6


def test_the_texts_are_the_documents() -> None:
    assert list(yaml.safe_load_all(openslo_yaml(ALL))) == openslo(ALL)
    assert yaml.safe_load(sloth_yaml(ALL, "x")) == sloth(ALL, "x")
