"""Configurations of earlier versions keep working, or are refused with the line to change.

Each folder holds the files that one version shipped, and `environment.txt` every variable it knew.
A version's folder is added when the next one changes a setting, and never edited.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airouter.settings.load import ENVIRONMENT, load_settings

FOLDER = Path(__file__).parent / "earlier_configurations"
FILES = sorted(FOLDER.glob("*/*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_of_an_earlier_version_is_read(file: Path) -> None:
    """With the variables that it needs to be usable at all."""
    environ = {"PRIMARY_URL": "http://127.0.0.1:8000", "XAI_API_KEY": "test-key"}
    if "cloud" in file.name:
        del environ["PRIMARY_URL"]
    settings = load_settings(environ, file=file)
    assert settings.serving("primary")


@pytest.mark.parametrize("version", sorted(folder.name for folder in FOLDER.iterdir()))
def test_the_variables_of_an_earlier_version_are_known(version: str) -> None:
    """A renamed variable stays known for one minor version."""
    known = (FOLDER / version / "environment.txt").read_text().split()
    assert known
    assert set(known) <= set(ENVIRONMENT)
