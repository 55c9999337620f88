"""Generates the tables of docs/configuration.md: `python scripts/write_config_docs.py`; `--check`
only compares.

Only the text between each pair of markers is replaced.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic_core import PydanticUndefined  # noqa: E402

from airouter.settings.load import ENVIRONMENT, SECRETS  # noqa: E402
from airouter.settings.schema import Settings, describe  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"


def settings_tables() -> str:
    """One table per section, in the order in which the settings are declared."""
    rows: dict[str, list[str]] = {}
    for name, default, meaning in describe(Settings):
        section = name.rpartition(".")[0] or "(top level)"
        cell = meaning.replace("|", "\\|")
        rows.setdefault(section, []).append(f"| `{name}` | {shown(default)} | {cell} |")
    tables = (
        f"### `{title}`\n\n| setting | default | meaning |\n|---|---|---|\n" + "\n".join(lines)
        for title, lines in rows.items()
    )
    return "\n\n".join(tables)


def environment_table() -> str:
    """Every environment variable that sets a setting."""
    meanings = {name: text.replace("|", "\\|") for name, _default, text in describe(Settings)}
    lines = ["| variable | sets | meaning |", "|---|---|---|"]
    for variable, (target, _read) in ENVIRONMENT.items():
        # The documented name: `backends.<name>.url` for `backends.primary.url`.
        setting = re.sub(r"^(backends|routes)\.[^.]*", r"\1.<name>", target)
        also = f" Also from a file: `{variable}_FILE`." if variable in SECRETS else ""
        lines.append(f"| `{variable}` | `{target}` | {meanings[setting]}{also} |")
    return "\n".join(lines)


def render(page: str) -> str:
    for name, text in (("settings", settings_tables()), ("environment", environment_table())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{PAGE.name} lacks the markers {begin} and {end}.")
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def shown(default: Any) -> str:
    """A default in YAML notation."""
    if default is None or default is PydanticUndefined:
        return "required" if default is PydanticUndefined else "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple | list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def changes() -> Iterator[str]:
    """A message if the page is outdated."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = render(page)
    if fresh != page:
        yield f"docs/{PAGE.name} is outdated: run python scripts/write_config_docs.py"


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        for found in changes():
            raise SystemExit(found)
        return 0
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
