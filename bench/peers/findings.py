"""What a comparison has measured so far: samples by measure and contender, kept when it is
interrupted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bench.stats import percentile

T = TypeVar("T")
Table = Mapping[str, dict[str, T]]  # measure → contender


class Findings:
    """`values`: one figure each; `reasons`: why something cannot be measured; `rounds`: a figure of
    each round.

    A measure that is taken once a round gets its figure as the median of the rounds.
    """

    def __init__(self) -> None:
        self.values: Table[float] = defaultdict(dict)
        self.reasons: Table[str] = defaultdict(dict)
        self.rounds: Table[list[float]] = defaultdict(lambda: defaultdict(list))
        self.samples: Table[list[float]] = defaultdict(lambda: defaultdict(list))  # of all rounds
        self.notes: list[str] = []

    def set(self, measure: str, key: str, value: float) -> None:
        self.values[measure][key] = value

    def raise_to(self, measure: str, key: str, value: float) -> None:
        """The largest that was seen."""
        self.set(measure, key, max(self.value(measure, key) or 0.0, value))

    def once(self, measure: str, key: str, value: float) -> None:
        """The figure of one round."""
        self.rounds[measure][key].append(value)
        self.set(measure, key, percentile(self.rounds[measure][key], 0.5))

    def collect(self, measure: str, key: str, values: Sequence[float]) -> None:
        self.samples[measure][key].extend(values)

    def cannot(self, measures: Sequence[str], key: str, reason: str) -> None:
        for measure in measures:
            self.reasons[measure].setdefault(key, reason)

    def value(self, measure: str, key: str) -> float | None:
        return self.values[measure].get(key)

    def reason(self, measure: str, key: str) -> str | None:
        return self.reasons[measure].get(key)

    def details(self, measure: str) -> dict[str, Any]:
        """For the JSON file: the figure, and the rounds it comes from."""
        found: dict[str, Any] = {}
        for key, value in self.values[measure].items():
            rounds = self.rounds[measure].get(key)
            found[key] = {"value": value, **({"rounds": rounds} if rounds else {})}
        for key, reason in self.reasons[measure].items():
            found.setdefault(key, {})["n/a"] = reason
        return found
