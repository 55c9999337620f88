"""Finds what a detector's raw values say about one part of its output.

Values are compared without regard to case, then by whole tokens: a part matches where its tokens
contain those of a raw value, or are contained in them, as a run without gaps. So `toxic comment`
matches `toxic`, `aadhaar` matches `IN_AADHAAR`, and `nontoxic` matches nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

# With one of these left over, a text means the opposite: `non-toxic`, `pii_not_detected`.
_NEGATIONS = frozenset({"no", "non", "not", "without"})
_MOST_TOKENS = 32  # of a part that is matched by tokens; a longer one is prose, not a label
_LEAST_CHARACTERS = (
    3  # of a part that is looked for within raw values: `id` and `us` say too little
)


class Match(NamedTuple):
    """`score` and `confidence`: 0 to 1, by the kind of match (R-206)."""

    label: str
    score: float
    confidence: float


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, split at white space, `_`, `-` and `/`."""
    return text.lower().replace("_", " ").replace("-", " ").replace("/", " ").split()


class _Value(NamedTuple):
    """A raw value; of several, the first in the detector's file is the least."""

    place: int
    match: Match
    negations: int


class Matcher:
    """What a detector's raw values stand for, prepared for looking up."""

    def __init__(self, maps: Mapping[str, str]) -> None:
        self._exact = {raw: Match(label, 1.0, 0.8) for raw, label in maps.items()}
        self._folded: dict[str, Match] = {}
        self._values: dict[str, _Value] = {}  # by their tokens
        self._words: set[str] = set()
        self._longest = 0
        within: dict[str, set[str]] = {}
        for place, (raw, label) in enumerate(maps.items()):
            words = tokens(raw)
            self._words.update(words)
            self._longest = max(self._longest, len(words))
            self._folded.setdefault(raw.lower(), Match(label, 1.0, 0.7))
            value = _Value(place, Match(label, 0.8, 0.5), _negations(words))
            self._values.setdefault(" ".join(words), value)
            for length in range(1, len(words)):
                for run in _runs(words, length):
                    if _negations(run) == value.negations:
                        within.setdefault(" ".join(run), set()).add(label)
        self._within = {
            run: Match(next(iter(labels)), 0.8, 0.5)
            for run, labels in within.items()
            if len(labels) == 1 and len(run) >= _LEAST_CHARACTERS
        }

    def known(self, part: str) -> Match | None:
        """The match of a whole value: exact, else without regard to case."""
        return self._exact.get(part) or self._folded.get(part.lower())

    def partial(self, part: str) -> Match | None:
        """The match by tokens. The longest run wins, and of runs of equal length the raw value that
        comes first in the detector's file. A part that is within values with different labels, as
        `number` is, is ambiguous and matches none of them."""
        words = tokens(part)
        if len(words) > _MOST_TOKENS or self._words.isdisjoint(words):
            return None
        text = " ".join(words)
        if text not in self._values and (match := self._within.get(text)):
            return match
        negations = _negations(words)
        stretches = self._stretches(words)
        for length in range(min(self._longest, max(map(len, stretches))), 0, -1):
            found = [
                value
                for stretch in stretches
                for run in _runs(stretch, length)
                if (value := self._values.get(" ".join(run))) and value.negations == negations
            ]
            if found:
                return min(found).match
        return None

    def _stretches(self, words: list[str]) -> list[list[str]]:
        """The words that occur in raw values, split where others stand between them."""
        stretches: list[list[str]] = [[]]
        for word in words:
            if word in self._words:
                stretches[-1].append(word)
            elif stretches[-1]:
                stretches.append([])
        return stretches


def _runs(words: list[str], length: int) -> list[list[str]]:
    return [words[start : start + length] for start in range(len(words) - length + 1)]


def _negations(words: list[str]) -> int:
    return 0 if _NEGATIONS.isdisjoint(words) else sum(word in _NEGATIONS for word in words)
