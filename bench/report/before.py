"""Two runs beside each other: the same rows of the same tables, before and now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.figures import base_title, is_summary, samples
from bench.stats import FEW

# Figures that are compared besides the p50 and p99 of every distribution: (name in the JSON file, title, unit, factor).
_NUMBERS = (
    ("requests_per_s", "requests/s", 1.0),
    ("us_per_chunk", "µs per chunk", 1.0),
    ("pss_mb", "PSS MB", 1.0),
    ("us", "µs", 1.0),
)


@dataclass(frozen=True, slots=True)
class Change:
    benchmark: str
    what: str
    before: float
    now: float

    @property
    def percent(self) -> float | None:
        return None if not self.before else 100 * (self.now / self.before - 1)


def changes(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Every figure that both runs have, in the order of the later one."""
    earlier = {(benchmark, what): value for benchmark, what, value in _figures(before)}
    return [
        Change(name, what, earlier[(name, what)], value)
        for name, what, value in _figures(now)
        if (name, what) in earlier
    ]


def _figures(tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, float]]:
    for table in tables:
        name = str(table.get("benchmark", ""))
        for row in table.get("rows", ()):
            what = f"{base_title(table)}: {row.get('name', '')}"
            for key, value in row.items():
                if is_summary(value) and (key.endswith("_s") or key == "seconds"):
                    for quantile in ("p50", "p99") if samples(value) >= FEW else ("p50",):
                        yield (
                            name,
                            f"{what}, {key.removesuffix('_s')} {quantile} ms",
                            1000 * float(value[quantile]),
                        )
                elif isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
                    yield name, f"{what}, {key.removesuffix('_s')} ms", 1000 * float(value["value"])
            for key, title, factor in _NUMBERS:
                if isinstance(row.get(key), int | float):
                    yield name, f"{what}, {title}", factor * float(row[key])
