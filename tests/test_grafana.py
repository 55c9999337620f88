"""The dashboards in deploy/grafana/: valid, and about metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airouter.settings.load import ROOT
from airouter.settings.schema import (
    BackendSettings,
    Logging,
    ProbeSettings,
    RouteSettings,
    Settings,
)
from app import create_app

FILES = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
# Metrics that no registry of a router without objectives has: those of the SLO engine, of recording
# rules, and of the mapper.
DECLARED = re.compile(
    r"slo:current_burn_rate:ratio|airouter_(error_budget_left|alert_state|slo_events_total)"
    r"|mapper_\w+"
)
SELECTORS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without) \([^)]*\)")
NAME = re.compile(r"[A-Za-z_:][\w:]*(?![\w:]*\s*\()")
UNITS = {"reqps", "s", "short", "percentunit", "currencyUSD", "cps"}

Labels = dict[str, set[str]]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labels]:
    """The labels of all metrics, by the name that a query uses."""
    app = create_app(
        Settings(
            backends={"primary": BackendSettings(url="http://127.0.0.1:9", model="m")},
            routes={"primary": RouteSettings(backends=("primary",))},
            logging=Logging(dir=tmp_path_factory.mktemp("logs")),
            probes=ProbeSettings(enabled=False),
        )
    )
    runtime = app.extensions["airouter"]
    found: Labels = {}
    for collector, names in runtime.metrics.registry._collector_to_names.items():
        found |= dict.fromkeys(names, set(collector._labelnames) | {"le"})
    yield found
    runtime.close()


def panels(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["panels"])


def queries() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every query."""
    for path in FILES:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]


def names_in(query: str) -> list[str]:
    """The metrics that a query names."""
    words = NAME.findall(SELECTORS.sub("", query))
    return [word for word in words if word not in ("and", "or", "unless", "bool", "offset")]


def labels_in(query: str) -> set[str]:
    """The labels that a query selects or groups by."""
    grouped = re.findall(r"\b(?:by|without) \(([^)]*)\)", query)
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    return {label.strip() for labels in grouped for label in labels.split(",")} | set(selected)


def test_the_dashboards_are_there() -> None:
    assert [path.stem for path in FILES] == ["backends", "routing", "slos", "users"]
    assert "Request Rate by Model" in {panel["title"] for panel in panels(FILES[-1])}
    uids = {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in FILES}
    assert len(uids) == len(FILES)


def test_every_query_names_metrics_that_exist(metrics: Labels) -> None:
    """In the registry of a router, or in the short list of declared ones."""
    for where, query in queries():
        names = names_in(query)
        assert names, f"{where} names no metric"
        for name in names:
            assert name in metrics or DECLARED.fullmatch(name), f"{where}: there is no {name}"


def test_every_query_uses_labels_that_exist(metrics: Labels) -> None:
    for where, query in queries():
        for name in names_in(query):
            if name in metrics:
                assert labels_in(query) <= metrics[name], where


def test_every_metric_is_on_a_dashboard(metrics: Labels) -> None:
    """A metric that nobody looks at need not be there."""
    shown = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for _, query in queries()
        for name in names_in(query)
    }
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in metrics}
    counters = {name for name in families if f"{name}_total" in families}
    assert families - counters - shown == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_has_a_title_a_unit_and_a_place(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(path):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) < 24  # Grafana's columns
    assert len({panel["id"] for panel in panels(path)}) == len(panels(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_data_source_is_chosen_on_the_dashboard(path: Path) -> None:
    """None is built in: every query uses the variable."""
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    variables = {entry["name"]: entry for entry in dashboard["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == (
        "datasource",
        "prometheus",
    )
    for panel in dashboard["panels"]:
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
