"""The pages of the documentation, read as tables, code blocks and text."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from airouter.settings.load import ROOT

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
