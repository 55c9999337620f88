"""The documents say what the code does: everything that has a name in the code has its line in
them, and nothing else has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from docs_pages import (
    API,
    CONFIGURATION,
    LOGS,
    PAGES,
    README,
    SOURCES,
    cells,
    named,
    read,
    spoken,
    title,
)
from flask import Flask
from records import record

from airouter.api.status import ENDPOINTS
from airouter.classify.assemble import BUILDERS
from airouter.domain.labels import ROUTES
from airouter.domain.types import ExchangeRecord, Step, Verdict
from airouter.settings.load import ENVIRONMENT, ROOT, SECRETS
from airouter.settings.schema import (
    BackendSettings,
    Logging,
    ProbeSettings,
    RouteSettings,
    Settings,
    describe,
)
from airouter.telemetry.lines import request_line, slow_line
from app import create_app
from scripts.write_config_docs import changes


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application, whole, with one backend that is not there."""
    app = create_app(
        Settings(
            backends={"primary": BackendSettings(url="http://127.0.0.1:9", model="m")},
            routes={"primary": RouteSettings(backends=("primary",))},
            logging=Logging(dir=tmp_path_factory.mktemp("logs")),
            probes=ProbeSettings(enabled=False),
        )
    )
    yield app
    app.extensions["airouter"].close()


# Configuration ------------------------------------------------------------------------------------


def test_the_tables_of_settings_are_current() -> None:
    """docs/configuration.md is what scripts/write_config_docs.py would write."""
    assert list(changes()) == []


def test_every_setting_is_explained() -> None:
    """Each has a name, a default and a meaning."""
    rows = {row[0].strip("`"): row for row in cells(CONFIGURATION, "## Settings")}
    assert set(rows) == {name for name, _, _ in describe(Settings)}
    assert {"backends.<name>.slots", "routes.<name>.slow_ms", "server.port"} <= set(rows)
    assert [name for name, row in rows.items() if not row[1] or not row[2]] == []


def test_every_environment_variable_is_explained() -> None:
    """Those that set a setting, those that code and scripts look up themselves, and those that hold
    a secret's file."""
    documented = named(cells(CONFIGURATION, "## Environment variables"))
    code = "\n".join(
        map(read, [*SOURCES, ROOT / "gunicorn.conf.py", *(ROOT / "scripts").glob("*.py")])
    )
    looked_up = set(
        re.findall(r"""environ(?:\.get\(|\[|\.setdefault\()\s*["']([A-Z][A-Z_]+)["']""", code)
    )
    looked_up -= {
        name
        for name in looked_up
        if name.startswith(("HTTP_", "REMOTE_", "REQUEST_", "PATH_", "CONTENT_"))
    }  # of WSGI
    looked_up |= set(
        re.findall(r"VARIABLE = \"([A-Z_]+)\"", read(ROOT / "airouter" / "runtime" / "control.py"))
    )
    assert {"ROUTER_CONFIG", "AIROUTER_CONTROL"} <= looked_up
    assert set(ENVIRONMENT) | looked_up | {f"{name}_FILE" for name in SECRETS} <= documented


def test_the_files_that_are_named_are_there() -> None:
    """Whatever looks like a file or folder of the project is one, or is written by a command."""
    for page in PAGES:
        for path in re.findall(
            r"(?:config|airouter|scripts|learn|bench|simulator|tests|data)/[\w./*-]*\w/?",
            spoken(page),
        ):
            there = path == "config/keys.yaml" or list(ROOT.glob(path.rstrip("/")))
            assert there, f"{title(page)} names {path}"


# The API ------------------------------------------------------------------------------------------


def pattern(path: str) -> str:
    """A path with its parameters' names left out."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "{}", path).rstrip("/") or "/"


def endpoints(app: Flask) -> set[str]:
    found = set()
    for rule in app.url_map.iter_rules():
        choice = re.search(r"<any\(([^)]+)\):\w+>", rule.rule)
        paths = (
            [rule.rule.replace(choice[0], name.strip()) for name in choice[1].split(",")]
            if choice
            else [rule.rule]
        )
        found |= {
            f"{method} {pattern(path)}"
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
            for path in paths
        }
    return found


def test_every_endpoint_is_documented(app: Flask) -> None:
    """In docs/api.md, and in what `GET /` answers; neither names one that is not there."""
    documented = named(cells(API, "## Endpoints")) - named(cells(API, "## Endpoints"), column=1)
    assert {
        f"{entry.split(' ')[0]} {pattern(entry.split(' ')[1])}" for entry in documented
    } == endpoints(app)
    answered = {
        f"{method} {pattern(path)}"
        for entry in ENDPOINTS
        for methods, path in [entry.split(" ")]
        for method in methods.split("|")
    }
    offered = {one for one in endpoints(app) if " /dashboard/" not in one}  # those are the page's
    assert answered | {"GET /"} == offered


def test_every_header_is_documented() -> None:
    """Those that are read and those that are sent."""
    code = "\n".join(map(read, SOURCES))
    received = {
        "X-Router-" + name.replace("_", "-").title()
        for name in re.findall(r"HTTP_X_ROUTER_([A-Z_]+)", code)
    }
    assert named(cells(API, "## Request headers")) >= received
    assert {row[0].strip("`") for row in cells(API, "## Request headers")} == received
    sent = set(re.findall(r"[\"'](X-Router-[A-Za-z-]+|Retry-After|x-should-retry)[\"']", code))
    assert {row[0].strip("`") for row in cells(API, "## Response headers")} == sent


def test_no_page_names_a_header_that_is_not_there() -> None:
    """A header that was renamed is renamed everywhere."""
    known = {
        row[0].strip("`")
        for heading in ("## Request headers", "## Response headers")
        for row in cells(API, heading)
    }
    for page in PAGES:
        assert set(re.findall(r"X-Router-[A-Za-z][A-Za-z-]*", read(page))) <= known, title(page)


def test_every_error_code_is_documented() -> None:
    """Each `code` that the code gives an error; no other."""
    found: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(read(source))):
            if isinstance(node, ast.keyword):
                name, value = node.arg or "", node.value
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id, node.value
            else:
                continue
            if name == "code" and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.add(value.value)
    assert len(found) > 30
    inner = set(re.findall(r"`([a-z_]+)` and `status_<number>` are not sent to clients", read(API)))
    assert named(cells(API, "## Errors")) & found | inner == found
    assert {row[0].strip("`") for row in cells(API, "## Errors")} <= found


def test_every_tier_and_route_is_documented() -> None:
    """Those that can be configured, and what X-Router-Tier says where no tier decided."""
    documented = {row[0].strip("`") for row in cells(API, "## Explaining routing decisions")}
    assert documented == set(BUILDERS) | {"explicit", "conversation", "fallback", "patience"}
    assert {row[0].strip("`") for row in cells(README, "## The four routes")} == set(ROUTES)


# Logs and metrics ---------------------------------------------------------------------------------


def templates() -> set[str]:
    """The templates of all log lines, f-strings included, with `%s` for what is put in."""
    found: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(read(source))):
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Attribute)
                or not node.args
            ):
                continue
            receiver, method, first = ast.unparse(node.func.value), node.func.attr, node.args[0]
            if (
                not (
                    re.search(r"(^|[._])log$", receiver) and method in ("info", "warning", "error")
                )
                and method != "_failed"
            ):
                continue
            text = ast.literal_eval(first) if isinstance(first, ast.Constant) else ""
            if isinstance(first, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "%s"
                    for part in first.values
                )
            if text:
                found.add(f"{text}: %s" if method == "_failed" else text)
    return found - {"%s", "%s: %s"}


def test_every_log_line_is_documented() -> None:
    """An example, or the line with … for what differs, stands in docs/logs-and-metrics.md."""
    lines = spoken(LOGS).splitlines()
    found = templates()
    assert len(found) > 12
    missing = [
        template
        for template in found
        if not any(
            re.fullmatch(".*?" + ".*".join(map(re.escape, re.split(r"%[a-z]", template))), line)
            for line in lines
        )
    ]
    assert missing == []


def test_every_field_of_the_request_lines_is_documented() -> None:
    """And its names for the routes' slow_ms."""
    full = record(
        enrichment_ms=1.0,
        outcome="truncated",
        backend="primary",
        tier="rules",
        total_ms=1e9,
        trace_id="t",
        key_id="k",
    )
    written = set(re.findall(r"(\w+=)", f"{request_line(full)} {slow_line(full, {})}"))
    assert written == {
        name for name in named(cells(LOGS, "## app.log")) if re.fullmatch(r"\w+=", name)
    }
    assert {"REQUEST", "SLOW_REQUEST"} <= set(re.findall(r"`(\w+)`", read(LOGS)))


def test_every_field_of_a_session_file_is_documented() -> None:
    """The record's in its table, those of verdicts and steps in the text below it."""
    documented = named(cells(LOGS, "## Session files"))
    assert documented == {field.name for field in fields(ExchangeRecord)} - {"save", "log"}
    for start, kind in (("A verdict has ", Verdict), ("A step has ", Step)):
        text = read(LOGS).partition(f"\n{start}")[2].partition("\n\n")[0]
        assert {field.name for field in fields(kind)} <= set(re.findall(r"`(\w+)`", text))


def test_every_metric_is_documented(app: Flask) -> None:
    """Its name, kind and labels."""
    exposition = app.test_client().get("/metrics").get_data(as_text=True)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, flags=re.MULTILINE))
    rows = {row[0].strip("`"): row for row in cells(LOGS, "## Metrics")}
    assert {name: row[1] for name, row in rows.items()} == kinds
    registry = app.extensions["airouter"].metrics.registry
    labels = {
        name: set(collector._labelnames)
        for collector, names in registry._collector_to_names.items()
        for name in names
    }
    assert {name: named([row], column=2) for name, row in rows.items()} == {
        name: labels[name] for name in kinds
    }
