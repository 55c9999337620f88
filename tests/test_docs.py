"""The documents say what the code does: everything that has a name in the code has its line in
them, and nothing else has."""

from __future__ import annotations

import ast
import itertools
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask
from records import record

from airouter.__main__ import _parser as commands
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
from bench.__main__ import parser as benchmarks
from scripts.write_config_docs import changes
from simulator.faults import CATALOGUE

README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
API = ROOT / "docs" / "api.md"
LOGS = ROOT / "docs" / "logs-and-metrics.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    *sorted((ROOT / "airouter").rglob("*.py")),
    ROOT / "app.py",
    ROOT / "session_logger.py",
    ROOT / "providers.py",
]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def title(path: Path) -> str:
    return str(path.relative_to(ROOT))


def cells(path: Path, heading: str) -> list[list[str]]:
    """The rows of the tables under a heading, without the tables' own headings."""
    _, _, rest = read(path).partition(f"\n{heading}\n")
    assert rest, f"{title(path)} has no heading {heading!r}"
    level = heading.split(" ")[0]
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if re.match(rf"#{{1,{len(level)}}} ", line):
            break
        if line.startswith("|---"):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def named(rows: list[list[str]], column: int = 0) -> set[str]:
    """What stands in backticks in one column."""
    return set(itertools.chain.from_iterable(re.findall(r"`([^`]+)`", row[column]) for row in rows))


def code_blocks(path: Path) -> str:
    return "\n".join(re.findall(r"```[a-z]*\n(.*?)```", read(path), flags=re.DOTALL))


def spoken(path: Path) -> str:
    """What a reader might type: code blocks, and what stands in backticks."""
    prose = re.sub(r"```.*?```", "", read(path), flags=re.DOTALL)
    return "\n".join([code_blocks(path), *re.findall(r"`([^`\n]+)`", prose)])


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
    """Whatever looks like a file or folder of the project is one."""
    for page in PAGES:
        for path in re.findall(
            r"(?:config|airouter|scripts|learn|bench|simulator|tests|data)/[\w./*-]*\w/?",
            spoken(page),
        ):
            assert list(ROOT.glob(path.rstrip("/"))), f"{title(page)} names {path}"


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
    assert answered | {"GET /"} == endpoints(app)


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
        enrichment_ms=1.0, outcome="truncated", backend="primary", tier="rules", total_ms=1e9
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


# Commands -----------------------------------------------------------------------------------------


def subcommands(of: ArgumentParser) -> set[str]:
    return set(next(action.choices for action in of._actions if isinstance(action.choices, dict)))


def test_every_make_target_is_documented() -> None:
    """In the README; and no page names one that is not there."""
    targets = set(re.findall(r"^([a-z][a-z-]*):.*## ", read(ROOT / "Makefile"), flags=re.MULTILINE))
    assert {"run", "test", "check"} <= targets
    assert {f"make {target}" for target in targets} <= named(cells(README, "## Quick start"))
    for page in PAGES:
        assert set(re.findall(r"\bmake ([a-z][a-z-]*)", spoken(page))) <= targets, title(page)


def test_the_commands_that_are_named_are_there() -> None:
    """Benchmarks, the router's own commands, scripts."""
    for page in PAGES:
        text = spoken(page)
        assert set(re.findall(r"\./Benchmark ([a-z][a-z-]*)", text)) <= subcommands(benchmarks()), (
            title(page)
        )
        assert set(re.findall(r"-m airouter ([a-z][a-z-]*)", text)) <= subcommands(commands()), (
            title(page)
        )
        assert [
            name for name in re.findall(r"\./([\w-]+)(?= |$)", text) if not (ROOT / name).exists()
        ] == [], title(page)


def test_every_folder_is_in_the_readme() -> None:
    """Each folder and each package has a line in the repository layout."""
    folders = {
        f"{path.name}/"
        for path in ROOT.iterdir()
        if path.is_dir() and re.match(r"[a-z]", path.name)
    }
    folders |= {
        f"airouter/{path.parent.name}/" for path in (ROOT / "airouter").glob("*/__init__.py")
    }
    explained = named(cells(README, "## Repository layout"))
    assert folders - explained - {"airouter/"} == set()
    assert [
        folder
        for folder in explained
        if not (ROOT / folder).exists() and not (ROOT / "airouter" / "classify" / folder).exists()
    ] == []


def test_every_fault_of_the_simulator_is_documented() -> None:
    """In simulator/README.md; and it explains none that is not there."""
    assert {
        row[0].strip("`") for row in cells(ROOT / "simulator" / "README.md", "## Faults")
    } == set(CATALOGUE)


# The pages themselves -----------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", read(path), flags=re.DOTALL), flags=re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    """To a file that is there, and to a heading of it."""
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", read(page), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{title(page)} links to {target}"
            assert not anchor or anchor in anchors(file), f"{title(page)} links to {target}"


def test_the_readme_leads_to_every_page() -> None:
    """Also to one that is written later."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in read(README), f"README.md does not link docs/{page.name}"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_a_page_speaks_of_the_project_alone(page: Path) -> None:
    """No absolute path of some machine."""
    text = read(page)
    assert not re.findall(r"(?<![\w.~/-])/(?:home|root|work|Users|tmp|opt|srv)/\S*", text)
    assert len(str(ROOT)) < 4 or str(ROOT) not in text
    assert "../../" not in text.replace("](../../", "")
