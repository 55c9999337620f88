"""The prompts: read from their folder, and what is wrong with one is said in a sentence."""

from datetime import datetime
from pathlib import Path

import pytest

from airouter.domain.clock import date_line
from airouter.domain.errors import ConfigError
from airouter.settings.prompts import load_prompts


def test_a_prompt_is_read_without_the_blanks_around_it(tmp_path: Path) -> None:
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "system.md").write_text("\nLabel it.\n\n", encoding="utf-8")
    assert load_prompts(tmp_path, ["classifier/system"]) == {"classifier/system": "Label it."}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing", None, "is missing; create"),
        ("empty", b" \n", "is empty; write it"),
        ("latin", b"caf\xe9", "is missing; create"),
        ("../outside", b"text", "points outside the directory"),
    ],
)
def test_a_prompt_that_cannot_be_used(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    if content is not None:
        (folder / f"{name}.md").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_prompts(folder, [name])


def test_the_date_has_no_time_of_day() -> None:
    """Two requests of one day share their prefix."""
    early, late = datetime(2026, 3, 1, 0, 1), datetime(2026, 3, 1, 23, 59)
    assert date_line(early) == date_line(late) == "Current date: Sunday, 1 March 2026."
