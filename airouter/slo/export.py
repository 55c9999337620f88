"""Objectives in the formats of other tools: OpenSLO (https://openslo.com), Sloth
(https://sloth.dev).

Objectives without a target are left out, and so are the alerts of a profile's own table: neither
format has a place for them.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from airouter.slo.names import COUNTER, SERVICE, alert_name, runbook_url
from airouter.slo.objectives import PRIORITY, Objective, Profile, Severity

# The names of severities in Sloth.
_ALERTS: dict[str, Severity] = {"page_alert": "critical", "ticket_alert": "warning"}


def openslo(profiles: Iterable[Profile]) -> list[dict[str, Any]]:
    """Documents of OpenSLO v1: a service, and an SLI and an SLO for each objective."""
    documents = [
        _document("Service", SERVICE, {"description": "A smart-routing, OpenAI-compatible proxy."})
    ]
    for objective in _with_target(profiles):
        good, total = f'slo="{objective.name}",good="true"', f'slo="{objective.name}"'
        ratio = {"counter": True, "good": _source(good), "total": _source(total)}
        documents += [
            _document("SLI", f"{objective.name}-sli", {"ratioMetric": ratio}),
            _document(
                "SLO",
                objective.name,
                {
                    "description": objective.description,
                    "service": SERVICE,
                    "indicatorRef": f"{objective.name}-sli",
                    "timeWindow": [{"duration": f"{objective.days}d", "isRolling": True}],
                    "budgetingMethod": "Occurrences",
                    "objectives": [{"target": objective.target}],
                },
            ),
        ]
    return documents


def sloth(profiles: Iterable[Profile], runbooks: str) -> dict[str, Any]:
    """A specification in Sloth's format `prometheus/v1`.

    Args:
        runbooks: folder of the runbooks, a path or a URL, for the links of alerts.
    """
    return {
        "version": "prometheus/v1",
        "service": SERVICE,
        "slos": [_slo(objective, runbooks) for objective in _with_target(profiles)],
    }


def openslo_yaml(profiles: Iterable[Profile]) -> str:
    """The documents of `openslo` as text."""
    return yaml.safe_dump_all(openslo(profiles), sort_keys=False, width=99, allow_unicode=True)


def sloth_yaml(profiles: Iterable[Profile], runbooks: str) -> str:
    """The specification of `sloth` as text."""
    return yaml.safe_dump(sloth(profiles, runbooks), sort_keys=False, width=99, allow_unicode=True)


def _with_target(profiles: Iterable[Profile]) -> Iterable[Objective]:
    return (
        objective
        for profile in profiles
        for objective in profile.objectives
        if objective.target is not None
    )


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _source(selector: str) -> dict[str, Any]:
    query = f"sum({COUNTER}{{{selector}}})"
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _slo(objective: Objective, runbooks: str) -> dict[str, Any]:
    assert objective.target is not None
    bad, total = f'slo="{objective.name}",good="false"', f'slo="{objective.name}"'
    return {
        "name": objective.name,
        "objective": round(objective.target * 100, 6),
        "description": objective.description,
        "sli": {
            "events": {
                "error_query": f"sum(rate({COUNTER}{{{bad}}}[{{{{.window}}}}]))",
                "total_query": f"sum(rate({COUNTER}{{{total}}}[{{{{.window}}}}]))",
            }
        },
        "alerting": {
            "name": alert_name(objective),
            "labels": {"slo": objective.name},
            "annotations": {"runbook_url": runbook_url(runbooks, objective.runbook)},
        }
        | {name: _severity(objective, severity) for name, severity in _ALERTS.items()},
    }


def _severity(objective: Objective, severity: Severity) -> dict[str, Any]:
    if objective.informational:
        return {"disable": True}
    return {"labels": {"severity": severity, "priority": PRIORITY[severity]}}
