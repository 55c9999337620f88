"""The detectors: their raw values and what these stand for, read from `detectors/*.yaml`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from airouter.domain.errors import ConfigError
from airouter.mapper.files import Entry, read
from airouter.mapper.matching import Matcher
from airouter.mapper.taxonomy import UNKNOWN, Taxonomy

_Text = Annotated[str, Field(min_length=1)]


class _File(Entry):
    detector: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    version: _Text
    source: Annotated[str, Field(pattern=r"^https://\S+$")]
    retrieved: date
    maps: Annotated[dict[str, str], Field(min_length=1)]


@dataclass(frozen=True)
class Detector:
    """One detector.

    Attributes:
        version: of the detector or its API, in the vendor's words.
        source: URL of the vendor's list of values.
        retrieved: the day on which the list was read.
        maps: canonical names of labels by raw value, in the order of the file.
    """

    name: str
    version: str
    maps: Mapping[str, str]
    source: str = ""
    retrieved: date | None = None

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.maps)


class Detectors:
    """All detectors, by name."""

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        self._by_name = MappingProxyType(dict(detectors))

    @classmethod
    def load(cls, folder: Path, taxonomy: Taxonomy) -> "Detectors":
        """Read `detectors/*.yaml` in the folder.

        Raises:
            ConfigError: one line per mistake, in whichever of the files.
        """
        detectors: dict[str, Detector] = {}
        problems: list[str] = []
        for path in sorted((folder / "detectors").glob("*.yaml")):
            try:
                file = read(path, _File)
            except ConfigError as error:
                problems.append(error.message)
                continue
            problems += [f"{path}: {problem}" for problem in _problems(path, file, taxonomy)]
            detector = Detector(
                file.detector,
                file.version,
                MappingProxyType(file.maps),
                file.source,
                file.retrieved,
            )
            _ = detector.matcher  # prepared now, not while the first request waits
            detectors[detector.name] = detector
        if not detectors and not problems:
            problems.append(f"{folder / 'detectors'} has no detectors.")
        if problems:
            raise ConfigError("\n".join(problems))
        return cls(detectors)

    def get(self, name: str) -> Detector | None:
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Detector]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)


def _problems(path: Path, file: _File, taxonomy: Taxonomy) -> Iterator[str]:
    if file.detector != path.stem:
        yield f"detector must be {path.stem!r}, the name of the file."
    for raw, target in file.maps.items():
        if not raw or raw != raw.strip() or "|" in raw:
            yield f"maps: {raw!r} is never found: a value has no `|` and no space around it."
        if target not in taxonomy.labels:
            yield f"maps.{raw}: the taxonomy has no label {target!r}."
        if target == UNKNOWN:
            yield f"maps.{raw}: {UNKNOWN} is for what is not mapped; leave the value out."
    for folded, count in Counter(raw.lower() for raw in file.maps).items():
        if count > 1:
            same = ", ".join(raw for raw in file.maps if raw.lower() == folded)
            yield f"maps: {same} differ in case alone; keep one of them."
