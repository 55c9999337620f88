"""`map check`: the mistakes in the mapper's files, and a table of what these cover."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from airouter.domain.errors import ConfigError
from airouter.mapper import schema
from airouter.mapper.detectors import Detectors
from airouter.mapper.frameworks import Frameworks
from airouter.mapper.taxonomy import CATEGORIES, UNKNOWN, Taxonomy


class Checked(NamedTuple):
    """`problems`: a sentence each; `table`: lines of text, empty where there are problems."""

    problems: tuple[str, ...]
    table: tuple[str, ...]


def check(folder: Path) -> Checked:
    """Validate all files in the folder."""
    problems: list[str] = []
    try:
        taxonomy = Taxonomy.load(folder)
    except ConfigError as error:  # nothing else can be checked without its labels
        return Checked(tuple(error.message.splitlines()), ())
    detectors = frameworks = None
    try:
        detectors = Detectors.load(folder, taxonomy)
        problems += _unreachable(taxonomy, detectors)
    except ConfigError as error:
        problems += error.message.splitlines()
    try:
        frameworks = Frameworks.load(folder, taxonomy)
    except ConfigError as error:
        problems += error.message.splitlines()
    if not schema.current(folder, taxonomy):
        problems.append(
            f"{folder / schema.NAME} is not that of the taxonomy; run `python -m airouter map "
            "schema`."
        )
    if problems or detectors is None or frameworks is None:
        return Checked(tuple(problems), ())
    return Checked((), tuple(_table(taxonomy, detectors, frameworks)))


def _unreachable(taxonomy: Taxonomy, detectors: Detectors) -> Iterator[str]:
    reached = {label for detector in detectors for label in detector.maps.values()}
    for label in taxonomy.labels:
        if label not in reached and label != UNKNOWN:
            yield f"No detector leads to the label {label}; map a value to it, or remove it."


def _table(taxonomy: Taxonomy, detectors: Detectors, frameworks: Frameworks) -> Iterator[str]:
    values = sum(len(detector.maps) for detector in detectors)
    yield (
        f"Taxonomy {taxonomy.version}: {len(taxonomy.labels)} labels. {len(detectors.names)} "
        f"detectors with {values} values. Frameworks: {', '.join(frameworks.names)}."
    )
    yield ""
    rows: list[tuple[str, ...]] = [("VALUES BY DETECTOR", *CATEGORIES, "ALL")]
    for detector in detectors:
        rows.append(_row(detector.name, [_category(label) for label in detector.maps.values()]))
    controlled = [label for label in taxonomy.labels if frameworks.controls(label)]
    rows.append(_row("labels", list(map(_category, taxonomy.labels))))
    rows.append(_row("labels with a control", list(map(_category, controlled))))
    yield from aligned(rows)
    yield ""
    pairs = Counter(pair for label in taxonomy.labels for pair in frameworks.controls(label))
    order = frameworks.names.index
    yield from aligned(
        [("CONTROL", "LABELS")]
        + [
            (f"{framework} {control}", str(count))
            for (framework, control), count in sorted(
                pairs.items(), key=lambda item: (order(item[0][0]), item[0][1])
            )
        ]
    )


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _category(label: str) -> str:
    return label.partition(".")[0]


def _row(name: str, categories: list[str]) -> tuple[str, ...]:
    counts = Counter(categories)
    cells = [str(counts[category] or "-") for category in CATEGORIES]
    return (name, *cells, str(len(categories)))
