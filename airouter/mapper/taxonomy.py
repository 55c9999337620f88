"""A stand-in for the taxonomy."""

from collections.abc import Mapping
from pathlib import Path

from airouter.domain.types import immutable
from airouter.settings.yaml_file import read_yaml


@immutable
class Label:
    """A label, by its canonical name."""

    name: str
    description: str
    aliases: tuple[str, ...]
    category: str


class Taxonomy:
    """Immutable."""

    def __init__(self, version: str, labels: Mapping[str, Label]) -> None:
        self.version, self.labels = version, labels
        self._names = {
            name.lower(): label.name
            for label in labels.values()
            for name in (label.name, *label.aliases)
        }

    @classmethod
    def load(cls, folder: Path) -> "Taxonomy":
        data = read_yaml(folder / "taxonomy.yaml")
        labels = {
            name: Label(name, text, tuple(data["aliases"].get(name, ())), name.partition(".")[0])
            for name, text in data["labels"].items()
        }
        return cls(str(data["version"]), labels)

    def find(self, text: str) -> str | None:
        """The canonical name for a label's name or alias."""
        return self._names.get(text.lower())
