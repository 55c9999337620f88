"""A stand-in for the detectors."""

from collections.abc import Mapping
from pathlib import Path

from airouter.domain.types import immutable
from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.yaml_file import read_yaml


@immutable
class Detector:
    """What a detector says, and the labels it means."""

    name: str
    version: str
    maps: Mapping[str, str]


class Detectors:
    """Immutable."""

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        self._detectors = detectors
        self.names = tuple(detectors)

    @classmethod
    def load(cls, folder: Path, taxonomy: Taxonomy) -> "Detectors":
        found = {}
        for path in sorted((folder / "detectors").glob("*.yaml")):
            data = read_yaml(path)
            found[data["detector"]] = Detector(
                data["detector"], str(data["version"]), dict(data["maps"])
            )
        return cls(found)

    def get(self, name: str) -> Detector | None:
        return self._detectors.get(name)
