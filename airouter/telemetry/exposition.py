"""Writes metrics in Prometheus' text format or in OpenMetrics, as prometheus_client does, but five
times as fast: what precedes the number of a line is made once.

It writes counters, gauges and histograms without exemplars and timestamps, with ASCII names.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.utils import floatToGoString


@dataclass(slots=True)
class _Family:
    """A metric: its lines are (what precedes the number, number)."""

    name: str  # a counter's without _total
    kind: str
    documentation: str
    lines: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Key:
    """What the key of a number in a worker's file says."""

    family: str
    documentation: str
    start: str  # of its line
    labels: str  # without le
    bound: float | None  # of a bucket


class Exposition:
    """Mutable state: the starts of lines, which are made once per series."""

    def __init__(self) -> None:
        self._starts: dict[tuple[str, ...], str] = {}
        self._keys: dict[str, _Key] = {}

    def of_registry(self, registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
        """The metrics of this process."""
        return _written(self._collected(registry), openmetrics)

    def of_workers(self, folder: Path, *, openmetrics: bool) -> bytes:
        """The metrics of all processes, from the files that `prometheus_client.values` keeps in the
        folder."""
        return _written(self._merged(folder), openmetrics)

    def _collected(self, registry: CollectorRegistry) -> Iterator[_Family]:
        starts = self._starts
        for metric in registry.collect():
            family = _Family(metric.name, metric.type, metric.documentation)
            for sample in metric.samples:
                key = (sample.name, *sample.labels.values())
                start = starts.get(key)
                if start is None:
                    start = starts[key] = _start(sample.name, sample.labels)
                family.lines.append((start, sample.value))
            yield family

    def _merged(self, folder: Path) -> Iterable[_Family]:
        """Counters and histograms are summed over all processes, gauges as their mode says."""
        sums: dict[str, dict[str, float]] = {}  # kind → key → number
        written: dict[tuple[str, str], float] = {}  # when the latest was, in seconds since 1970
        for path in sorted(folder.glob("*.db")):
            kind, mode = path.name.split("_")[:2]
            merged = sums.setdefault(kind, {})
            mode = mode.removeprefix("live") if kind == "gauge" else "sum"
            for text, value, written_at in _read(path):
                before = merged.get(text)
                if before is None:
                    merged[text] = value
                elif mode == "mostrecent":
                    if written_at < written.get((kind, text), 0.0):
                        continue
                    merged[text] = value
                elif mode == "sum":
                    merged[text] = before + value
                else:
                    merged[text] = max(before, value) if mode == "max" else min(before, value)
                if mode == "mostrecent":
                    written[kind, text] = written_at
        families: dict[str, _Family] = {}
        for kind, values in sums.items():
            keyed = ((self._key(text), value) for text, value in values.items())
            if kind == "histogram":
                _add_histograms(families, keyed)
            else:
                for key, value in keyed:
                    _family(families, key, kind).lines.append((key.start, value))
        return families.values()

    def _key(self, text: str) -> _Key:
        key = self._keys.get(text)
        if key is None:
            family, name, labels, documentation = json.loads(text)
            bound = labels.get("le")
            rest = {label: value for label, value in labels.items() if label != "le"}
            key = self._keys[text] = _Key(
                family,
                documentation,
                _start(name, labels),
                _labels(rest),
                None if bound is None else float(bound),
            )
        return key


def _read(path: Path) -> Iterator[tuple[str, float, float]]:
    """(key, value, when it was written)."""
    try:
        read: Any = MmapedDict.read_all_values_from_file
        for key, value, written_at, _position in read(str(path)):
            yield key, value, written_at
    except (FileNotFoundError, struct.error):
        return  # its worker has died, or has only just begun to write it


def _family(families: dict[str, _Family], key: _Key, kind: str) -> _Family:
    family = families.get(key.family)
    if family is None:
        family = families[key.family] = _Family(key.family, kind, key.documentation)
    return family


def _add_histograms(families: dict[str, _Family], keyed: Iterable[tuple[_Key, float]]) -> None:
    """A worker counts a value in its bucket only; the format has cumulative buckets."""
    buckets: dict[tuple[str, str], list[tuple[float, str, float]]] = {}
    sums: dict[tuple[str, str], tuple[_Key, float]] = {}
    for key, value in keyed:
        if key.bound is None:
            sums[key.family, key.labels] = key, value
        else:
            series = buckets.setdefault((key.family, key.labels), [])
            series.append((key.bound, key.start, value))
    for place, (key, total) in sums.items():
        lines, count = _family(families, key, "histogram").lines, 0.0
        for _bound, start, value in sorted(buckets.get(place, ())):
            count += value
            lines.append((start, count))
        lines.append((f"{key.family}_count{key.labels} ", count))
        lines.append((key.start, total))


def _written(families: Iterable[_Family], openmetrics: bool) -> bytes:
    number: Any = floatToGoString
    parts: list[str] = []
    for family in families:
        name, text = family.name, family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        if openmetrics:
            text = text.replace('"', r"\"")
        elif family.kind == "counter":
            name += "_total"
        parts.append(f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n")
        parts += [f"{start}{number(value)}\n" for start, value in family.lines]
    if openmetrics:
        parts.append("# EOF\n")
    return "".join(parts).encode()


def _start(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{_labels(labels)} "


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(labels[name])}"' for name in sorted(labels)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
