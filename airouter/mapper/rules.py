"""Maps what a detector says by its table alone: the same output always gives the same labels."""

import re
from collections.abc import Iterator, Mapping

from airouter.domain.types import immutable
from airouter.mapper.detectors import Detector, Detectors

UNKNOWN = "OTHER.Unknown"
# (score, confidence) by how a part was found in the table.
_EXACT, _IN_ANOTHER_CASE, _PARTIAL, _NONE = (1.0, 0.8), (1.0, 0.7), (0.8, 0.5), (0.0, 0.0)
_BETWEEN_TOKENS = re.compile(r"[\s_\-/]+")
_NEGATIONS = frozenset({"no", "non", "not", "never", "without"})
_NO_DETECTOR = "The detector is unknown; GET /map/detectors lists those that are known."
_SOME_UNKNOWN = "A part of the output is not in the detector's table."
_NOTHING_KNOWN = "The output is not in the detector's table."


@immutable
class Mapped:
    """Labels by score, in the order of the output; of all of them, the lowest confidence.

    `scores` has an entry for each label. `notes` never quotes the output.
    """

    scores: Mapping[str, float]
    confidence: float
    notes: str = ""


def parts_of(output: str) -> list[str]:
    """The parts of an output such as `toxic|hate`, without the empty ones."""
    if "|" not in output:
        text = output.strip()
        return [text] if text else []
    return [text for part in output.split("|") if (text := part.strip())]


class Rules:
    """Immutable: the tables of all detectors, prepared for looking up."""

    def __init__(self, detectors: Detectors) -> None:
        self._tables = {
            name: _Table(detector)
            for name in detectors.names
            if (detector := detectors.get(name)) is not None
        }

    def map(self, detector: str, output: str) -> Mapped:
        """Map each part of an output.

        Args:
            output: with at least one part.
        """
        table = self._tables.get(detector)
        if table is None:
            return Mapped({UNKNOWN: 0.0}, 0.0, _NO_DETECTOR)
        scores: dict[str, float] = {}
        lowest = 1.0
        for part in dict.fromkeys(parts_of(output)):
            labels, (score, confidence) = table.find(part)
            lowest = min(lowest, confidence)
            for label in labels:
                scores[label] = max(score, scores.get(label, 0.0))
        notes = ""
        if lowest == 0.0:
            notes = _NOTHING_KNOWN if set(scores) == {UNKNOWN} else _SOME_UNKNOWN
        return Mapped(scores, lowest, notes)


class _Table:
    def __init__(self, detector: Detector) -> None:
        self._exact: dict[str, tuple[str, ...]] = {
            raw: (label,) for raw, label in detector.maps.items()
        }
        self._lower: dict[str, tuple[str, ...]] = {}
        self._phrases: dict[str, list[tuple[list[str], str]]] = {}  # by their first token
        for raw, label in detector.maps.items():
            self._lower.setdefault(raw.lower(), (label,))
            tokens = _tokens(raw)
            if tokens:
                self._phrases.setdefault(tokens[0], []).append((tokens, label))
        for phrases in self._phrases.values():
            phrases.sort(key=lambda phrase: -len(phrase[0]))

    def find(self, part: str) -> tuple[tuple[str, ...], tuple[float, float]]:
        """(labels, (score, confidence)) of one part."""
        if found := self._exact.get(part):
            return found, _EXACT
        if found := self._lower.get(part.lower()):
            return found, _IN_ANOTHER_CASE
        if within := tuple(dict.fromkeys(self._within(_tokens(part)))):
            return within, _PARTIAL
        return (UNKNOWN,), _NONE

    def _within(self, tokens: list[str]) -> Iterator[str]:
        """Labels of the raw values whose tokens follow each other in the text, the longest first;
        not of one that is negated, as in `non-toxic`."""
        at = 0
        while at < len(tokens):
            for phrase, label in self._phrases.get(tokens[at], ()):
                if tokens[at : at + len(phrase)] == phrase:
                    if not (at and tokens[at - 1] in _NEGATIONS):
                        yield label
                    at += len(phrase) - 1
                    break
            at += 1


def _tokens(text: str) -> list[str]:
    return [token for token in _BETWEEN_TOKENS.split(text.lower()) if token]
