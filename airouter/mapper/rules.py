"""The rules: map a detector's output without a model (R-206)."""

from collections.abc import Mapping
from typing import NamedTuple

from airouter.mapper.detectors import Detector
from airouter.mapper.matching import Match
from airouter.mapper.taxonomy import UNKNOWN, Taxonomy

_NONE = Match(UNKNOWN, 0.0, 0.0)


class Mapped(NamedTuple):
    """What an output means.

    Attributes:
        labels: canonical names, each once, in the order of the output's parts; at least one.
        scores: 0 to 1, by label; of the part that matches best.
        confidence: 0 to 1; that of the part that matches worst.
        notes: a sentence about what is not known, or empty. It quotes nothing of the output.
    """

    labels: tuple[str, ...]
    scores: Mapping[str, float]
    confidence: float
    notes: str = ""


def parts(output: str) -> list[str]:
    """The parts of an output such as `toxic|hate`, each once; none if the output is empty, which is
    not a valid output."""
    return list(dict.fromkeys(part for text in output.split("|") if (part := text.strip())))


def by_rules(detector: Detector | None, output: str, taxonomy: Taxonomy) -> Mapped:
    """Map each part of an output.

    A part is looked up among the detector's raw values: exactly (score 1.0, confidence 0.8),
    without regard to case (1.0, 0.7); then among the names and aliases of the taxonomy (1.0, 0.7),
    and last by whole tokens (0.8, 0.5). A part without a match is OTHER.Unknown (0, 0).

    Args:
        detector: None if it is not known; then so is all that it says.
        output: one or more parts, joined by `|`. Empty parts are ignored.
    """
    if detector is None:
        return Mapped((UNKNOWN,), {UNKNOWN: 0.0}, 0.0, "The detector is not known.")
    if match := detector.matcher.known(output):  # the usual output, without all that follows
        return Mapped((match.label,), {match.label: match.score}, match.confidence)
    found = [_match(detector, part, taxonomy) for part in parts(output)] or [_NONE]
    scores: dict[str, float] = {}
    for match in found:
        scores[match.label] = max(match.score, scores.get(match.label, 0.0))
    unknown = sum(match is _NONE for match in found)
    notes = f"Parts without a rule: {unknown} of {len(found)}." if unknown else ""
    return Mapped(tuple(scores), scores, min(match.confidence for match in found), notes)


def _match(detector: Detector, part: str, taxonomy: Taxonomy) -> Match:
    if match := detector.matcher.known(part):
        return match
    named = taxonomy.find(part)
    if named and named != UNKNOWN:
        return Match(named, 1.0, 0.7)
    return detector.matcher.partial(part) or _NONE
