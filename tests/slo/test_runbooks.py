"""A page for each runbook that an objective or an alert names, and commands that work."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from airouter.index.schema import migrate
from airouter.settings.load import ROOT
from airouter.slo.load import PROFILES, load_profiles

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["## User impact", "## First look", "## Likely causes", "## Actions"]


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def test_each_runbook_that_is_named_has_its_page_and_each_page_is_named() -> None:
    profiles = load_profiles(PROFILES, ROOT / "config" / "slo")
    named = {one.runbook for profile in profiles for one in profile.objectives}
    named |= {alert.runbook for profile in profiles for alert in profile.alerts}
    assert {page.stem for page in PAGES} == named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_four_parts_and_is_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## .*$", text, flags=re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) <= 60
    for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert part.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_queries_of_a_page_fit_the_index(page: Path, index: sqlite3.Connection) -> None:
    text = page.read_text(encoding="utf-8")
    queries = re.findall(r'sqlite3 logs/index\.sqlite "([^"]+)"', text)
    assert len(queries) == text.count("sqlite3 ")
    for query in queries:
        index.execute(query).fetchall()


def test_most_pages_have_a_query() -> None:
    assert sum("sqlite3" in page.read_text(encoding="utf-8") for page in PAGES) >= 12
