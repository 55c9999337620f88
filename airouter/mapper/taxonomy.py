"""The taxonomy: the labels that the mapper answers with, read from `taxonomy.yaml`."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from airouter.domain.errors import ConfigError
from airouter.mapper.files import Entry, read
from airouter.mapper.matching import tokens

CATEGORIES = ("PII", "JAILBREAK", "PROMPT_INJECTION", "HARM", "BIAS", "OTHER")
UNKNOWN = "OTHER.Unknown"  # what no rule matches
PATTERN = r"^[A-Z][A-Z0-9_]*(\.[A-Za-z0-9_]+)*$"
_PATTERN = re.compile(PATTERN)
_Text = Annotated[str, Field(min_length=1)]


class _LabelEntry(Entry):
    description: _Text
    aliases: list[_Text] = Field(default_factory=list)


class _CategoryEntry(Entry):
    description: _Text
    labels: dict[str, _LabelEntry] = Field(default_factory=dict)
    subcategories: dict[str, dict[str, _LabelEntry]] = Field(default_factory=dict)


class _File(Entry):
    version: _Text
    categories: dict[str, _CategoryEntry]


@dataclass(frozen=True, slots=True)
class Label:
    """`name`: the canonical name, such as `HARM.SPEECH.Toxicity`; `category`: its first part."""

    name: str
    description: str
    aliases: tuple[str, ...]
    category: str


@dataclass(frozen=True)
class Taxonomy:
    """`labels`: by canonical name, in the order of the file."""

    version: str
    labels: Mapping[str, Label]
    _names: Mapping[str, str] = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> "Taxonomy":
        """Read `taxonomy.yaml` in the folder.

        Raises:
            ConfigError: one line per mistake.
        """
        path = folder / "taxonomy.yaml"
        file = read(path, _File)
        labels = {label.name: label for label in _labels(file)}
        owners = _owners(labels)
        if problems := [*_structural(file, labels), *_ambiguous(owners)]:
            raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
        names = {text: found[0] for text, found in owners.items()}
        return cls(file.version, MappingProxyType(labels), MappingProxyType(names))

    def find(self, text: str) -> str | None:
        """The canonical name of the label that has this name or alias, without regard to case and
        to the separators of its words."""
        return self._names.get(_folded(text))


def _folded(text: str) -> str:
    return " ".join(tokens(text))


def _labels(file: _File) -> Iterator[Label]:
    for category, entry in file.categories.items():
        groups = {category: entry.labels}
        groups |= {f"{category}.{name}": labels for name, labels in entry.subcategories.items()}
        for path, labels in groups.items():
            for name, label in labels.items():
                yield Label(f"{path}.{name}", label.description, tuple(label.aliases), category)


def _owners(labels: Mapping[str, Label]) -> dict[str, list[str]]:
    """The labels that have a name or alias, by that as `find` looks it up."""
    owners: dict[str, list[str]] = defaultdict(list)
    for label in labels.values():
        for text in (label.name, *label.aliases):
            owners[_folded(text)].append(label.name)
    return dict(owners)


def _structural(file: _File, labels: Mapping[str, Label]) -> Iterator[str]:
    if tuple(file.categories) != CATEGORIES:
        yield f"the categories must be {', '.join(CATEGORIES)}, in this order."
    for name in labels:
        if not _PATTERN.match(name):
            yield f"the name {name} does not match {PATTERN}."
    if UNKNOWN not in labels:
        yield f"the label {UNKNOWN} is missing."
    elif labels[UNKNOWN].aliases:
        yield f"{UNKNOWN} must have no aliases: it stands for what is not known."


def _ambiguous(owners: Mapping[str, list[str]]) -> Iterator[str]:
    for text, found in owners.items():
        if len(found) > 1:
            yield f"the name or alias {text!r} is given {len(found)} times: {', '.join(found)}."
