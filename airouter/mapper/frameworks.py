"""The controls of compliance frameworks that a label touches, read from `frameworks.yaml`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from airouter.domain.errors import ConfigError
from airouter.mapper.files import Entry, read
from airouter.mapper.taxonomy import Taxonomy

_Text = Annotated[str, Field(min_length=1)]


class _Control(Entry):
    title: _Text
    labels: Annotated[list[_Text], Field(min_length=1)]


class _Framework(Entry):
    source: Annotated[str, Field(pattern=r"^https://\S+$")]
    controls: Annotated[dict[str, _Control], Field(min_length=1)]


class _File(Entry):
    version: _Text
    frameworks: Annotated[dict[str, _Framework], Field(min_length=1)]


class Frameworks:
    """`version`: of the file; `names`: of the frameworks, in its order."""

    def __init__(
        self,
        version: str,
        names: tuple[str, ...],
        controls: Mapping[str, tuple[tuple[str, str], ...]],
    ) -> None:
        self.version, self.names, self._controls = version, names, controls

    @classmethod
    def load(cls, folder: Path, taxonomy: Taxonomy) -> "Frameworks":
        """Read `frameworks.yaml` in the folder.

        Raises:
            ConfigError: one line per mistake.
        """
        path = folder / "frameworks.yaml"
        file = read(path, _File)
        controls: dict[str, list[tuple[str, str]]] = defaultdict(list)
        problems: list[str] = []
        for framework, control, entry in _entries(file):
            pair = (framework, control)
            for name in entry.labels:
                covered = _covered(name, taxonomy)
                if not covered:
                    problems.append(
                        f"{path}: {framework} {control}: the taxonomy has no label or category "
                        f"{name!r}."
                    )
                for label in covered:
                    if pair in controls[label]:
                        problems.append(f"{path}: {framework} {control} names {label} twice.")
                    controls[label].append(pair)
        if problems:
            raise ConfigError("\n".join(problems))
        return cls(
            file.version,
            tuple(file.frameworks),
            {label: tuple(pairs) for label, pairs in controls.items()},
        )

    def controls(self, label: str) -> tuple[tuple[str, str], ...]:
        """The framework and the control, such as `("SOC 2", "CC7.2")`, of each control that the
        label touches."""
        return self._controls.get(label, ())


def _entries(file: _File) -> Iterator[tuple[str, str, _Control]]:
    for name, framework in file.frameworks.items():
        for control, entry in framework.controls.items():
            yield name, control, entry


def _covered(name: str, taxonomy: Taxonomy) -> list[str]:
    """The label of this name, or all below the category or subcategory of this name."""
    return [label for label in taxonomy.labels if label == name or label.startswith(f"{name}.")]
