"""What a comparison has measured so far: samples by measure and contender, kept when it is interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.stats import summarise

QUANTILES = tuple(q / 100 for q in (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99))


@dataclass(slots=True)
class Findings:
    """`values`: measure → contender → one figure; `reasons`: the same for what cannot be measured; `data`: for the JSON file.

    A measure that is taken once a round gets its figure as the median of the rounds.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set(self, measure: str, key: str, value: float) -> None:
        self.values.setdefault(measure, {})[key] = value

    def once(self, measure: str, key: str, value: float) -> None:
        """The figure of one round."""
        rounds = self.rounds.setdefault(measure, {}).setdefault(key, [])
        rounds.append(value)
        found = summarise(rounds)
        assert found is not None
        self.set(measure, key, found.p50)

    def collect(self, measure: str, key: str, values: Sequence[float]) -> None:
        """Samples, pooled over the rounds."""
        self.samples.setdefault(measure, {}).setdefault(key, []).extend(values)

    def pooled(self, measure: str, key: str) -> list[float]:
        return self.samples.get(measure, {}).get(key, [])

    def cannot(self, measure: str, key: str, reason: str) -> None:
        self.reasons.setdefault(measure, {}).setdefault(key, reason)

    def value(self, measure: str, key: str) -> float | None:
        return self.values.get(measure, {}).get(key)

    def reason(self, measure: str, key: str) -> str | None:
        return self.reasons.get(measure, {}).get(key)

    def details(self, measure: str) -> dict[str, Any]:
        """For the JSON file: the figure, the rounds it comes from, the distribution of its samples."""
        found: dict[str, Any] = {}
        for key, value in self.values.get(measure, {}).items():
            found[key] = {"value": value}
            if rounds := self.rounds.get(measure, {}).get(key):
                found[key]["rounds"] = rounds
        for key, reason in self.reasons.get(measure, {}).items():
            found.setdefault(key, {})["n/a"] = reason
        return found
