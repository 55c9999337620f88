"""A stand-in for the frameworks."""

from pathlib import Path

from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.yaml_file import read_yaml


class Frameworks:
    """Immutable."""

    def __init__(self, controls: dict[str, tuple[tuple[str, str], ...]]) -> None:
        self._controls = controls

    @classmethod
    def load(cls, folder: Path, taxonomy: Taxonomy) -> "Frameworks":
        data = read_yaml(folder / "frameworks.yaml")
        return cls({k: tuple(map(tuple, v)) for k, v in data["controls"].items()})

    def controls(self, label: str) -> tuple[tuple[str, str], ...]:
        return self._controls.get(label, ())
