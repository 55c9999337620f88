"""The mapper's files as they are shipped, and copies of them to break."""

from __future__ import annotations

import shutil
from pathlib import Path

from airouter.mapper.detectors import Detectors
from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.load import ROOT

FOLDER = ROOT / "config" / "mapper"
TAXONOMY = Taxonomy.load(FOLDER)
DETECTORS = Detectors.load(FOLDER, TAXONOMY)


def broken(folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of the files with `old` in the file `name` replaced once by `new`."""
    copy = folder / "mapper"
    shutil.copytree(FOLDER, copy)
    path = copy / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return copy
