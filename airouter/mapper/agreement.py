"""`map evaluate`: how far the rules agree with people's labels."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from airouter.domain.errors import ConfigError
from airouter.mapper.check import aligned
from airouter.mapper.detectors import Detectors
from airouter.mapper.files import Entry
from airouter.mapper.rules import by_rules, parts
from airouter.mapper.taxonomy import Taxonomy

_Z = 1.959964  # the standard normal distribution's quantile for 95 %


class Line(Entry):
    """A labelled output; the order of `labels` does not count."""

    detector: str
    output: str
    labels: list[str]


class Share(NamedTuple):
    """A number of hits among `of`."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval of the share; (0, 1) of nothing."""
        if not self.of:
            return 0.0, 1.0
        share, square = self.hits / self.of, _Z * _Z / self.of
        middle = share + square / 2
        half = _Z * math.sqrt(share * (1 - share) / self.of + square / (4 * self.of))
        low, high = ((middle + sign * half) / (1 + square) for sign in (-1, 1))
        return max(0.0, low), min(1.0, high)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval
        return f"{self.hits / self.of:.1%} ({low:.1%} to {high:.1%})"


@dataclass
class Agreement:
    """Counts over all lines. A line agrees if the rules give exactly its labels."""

    lines: Counter[str] = field(default_factory=Counter)  # by detector
    agreeing: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)  # by label
    given: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)

    @property
    def exact(self) -> Share:
        return Share(self.agreeing.total(), self.lines.total())

    def by_detector(self, name: str) -> Share:
        return Share(self.agreeing[name], self.lines[name])

    def precision(self, label: str) -> Share:
        """Of the outputs to which the rules give the label, those that have it."""
        return Share(self.right[label], self.given[label])

    def recall(self, label: str) -> Share:
        """Of the outputs that have the label, those to which the rules give it."""
        return Share(self.right[label], self.expected[label])


def read_lines(path: Path, taxonomy: Taxonomy) -> list[Line]:
    """The labelled outputs in a JSONL file of {detector, output, labels}.

    Raises:
        ConfigError: the file cannot be read, or lines are not valid; a sentence per mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}.") from None
    lines: list[Line] = []
    problems: list[str] = []
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            line = Line.model_validate(json.loads(row))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            problems.append(f"{path}, line {number}: {place}: {first['msg']}.")
            continue
        except ValueError:
            problems.append(f"{path}, line {number} is not JSON.")
            continue
        problems += [f"{path}, line {number}: {problem}" for problem in _problems(line, taxonomy)]
        lines.append(line)
    if not lines and not problems:
        problems.append(f"{path} has no lines.")
    if problems:
        raise ConfigError("\n".join(problems))
    return lines


def _problems(line: Line, taxonomy: Taxonomy) -> Iterator[str]:
    if not parts(line.output):
        yield "the output is empty."
    if not line.labels:
        yield "labels is empty; use OTHER.Unknown for what has no label."
    for label in line.labels:
        if label not in taxonomy.labels:
            yield f"the taxonomy has no label {label!r}."


def measure(lines: list[Line], taxonomy: Taxonomy, detectors: Detectors) -> Agreement:
    """Map every output by the rules, and compare."""
    found = Agreement()
    for line in lines:
        given = set(by_rules(detectors.get(line.detector), line.output, taxonomy).labels)
        expected = set(line.labels)
        found.lines[line.detector] += 1
        found.agreeing[line.detector] += given == expected
        found.expected.update(expected)
        found.given.update(given)
        found.right.update(given & expected)
    return found


def table(found: Agreement) -> Iterator[str]:
    """The agreement as lines of text; shares with their 95 % intervals."""
    yield f"Exactly the same labels: {found.exact} of {found.lines.total()} outputs."
    yield ""
    yield from aligned(
        [("DETECTOR", "OUTPUTS", "EXACT")]
        + [
            (name, str(count), str(found.by_detector(name)))
            for name, count in sorted(found.lines.items())
        ]
    )
    yield ""
    yield from aligned(
        [("LABEL", "EXPECTED", "PRECISION", "RECALL")]
        + [
            (
                label,
                str(found.expected[label]),
                str(found.precision(label)),
                str(found.recall(label)),
            )
            for label in sorted(found.expected | found.given)
        ]
    )
