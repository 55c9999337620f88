"""The pages: their commands and links exist, and they speak of the project alone."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
from docs_pages import PAGES, README, cells, named, read, spoken, title

from airouter.__main__ import _parser as commands
from airouter.settings.load import ROOT
from bench.__main__ import parser as benchmarks
from simulator.faults import CATALOGUE


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
