"""Stored sessions decided again: what would move to another class."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import RouterError
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES
from airouter.domain.types import Decision, Features
from airouter.evaluation.decider import COVERING_TIERS, Decider

ABSTAINED = "asks a model"  # the new class if all tiers abstained
_LOCAL, _HARD = ("PRIMARY", "META"), ("COMPLEX", "ENRICH")
# Why sessions are not decided again.
NO_CONTENT = "without content (logging.content: off)"
NOT_DECIDED = "not decided by the cascade: forced, continued, no chat, or failed before"
BY_TASK = "decided by metadata.task, which sessions do not store"
INVALID = "with messages that cannot be read"
# Directions of moves, the harmful one first, and what each means.
DIRECTIONS = {
    "harmful": "harmful: a hard ask would be answered locally",
    "cloud": "to the cloud instead of a local answer",
    "search": "to a web search",
    "other": "other",
}


class Moved(NamedTuple):
    """A request whose class changes. `words`: the beginning of its ask."""

    id: str
    old: str
    new: str
    tier: str
    p: float | None
    words: str


def direction(old: str, new: str) -> str:
    """Which of `DIRECTIONS` a move between two classes has."""
    if old in _HARD and new in _LOCAL:
        return "harmful"
    if new == "COMPLEX" and old in _LOCAL:
        return "cloud"
    return "search" if new == "ENRICH" else "other"


@dataclass(slots=True)
class Moves:
    """What was counted so far. Memory grows by 8 bytes per session, and by `most` requests per
    direction.

    `counts`: sessions by (old, new) class. `skipped`: sessions by reason. `failed`: decisions that
    ended with an error, by code. `covered`: sessions that were decided without a model call, then
    and now. `ms`: duration of each decision.
    """

    most: int
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    covered_before: int = 0
    covered: int = 0
    directions: Counter[str] = field(default_factory=Counter)
    moved: dict[str, list[Moved]] = field(default_factory=lambda: {name: [] for name in DIRECTIONS})
    ms: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, document: Mapping[str, Any], decide: Decider) -> None:
        """Decide a session again."""
        features = _features(document)
        if isinstance(features, str):
            self.skipped[features] += 1
            return
        try:
            decision = decide(features)
        except RouterError as error:
            self.failed[error.code] += 1
            return
        self._count(document, features, decision)

    def _count(self, document: Mapping[str, Any], features: Features, decision: Decision) -> None:
        old = CLASS_OF_LABEL[document["label"]]
        new = CLASS_OF_LABEL.get(decision.label, ABSTAINED)
        self.counts[old, new] += 1
        self.covered_before += document["tier"] in COVERING_TIERS
        self.covered += decision.tier in COVERING_TIERS
        self.ms.append(decision.ms)
        if new in (old, ABSTAINED):
            return
        towards = direction(old, new)
        self.directions[towards] += 1
        if len(self.moved[towards]) < self.most:
            self.moved[towards].append(
                Moved(document["id"], old, new, decision.tier, decision.p, features.ask)
            )

    @property
    def decided(self) -> int:
        """How many sessions were decided again."""
        return self.counts.total()

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        classes = (*CLASSES, ABSTAINED)
        return {
            "decided": self.decided,
            "covered_before": self.covered_before,
            "covered": self.covered,
            "counts": {
                old: {new: self.counts[old, new] for new in classes if self.counts[old, new]}
                for old in CLASSES
            },
            "directions": {name: self.directions[name] for name in DIRECTIONS},
            "moved": [one._asdict() for name in DIRECTIONS for one in self.moved[name]],
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
        }


def _features(document: Mapping[str, Any]) -> Features | str:
    """The features of a session's request, or why it is skipped.

    Session files have neither the client's tools nor `metadata`.
    """
    if (
        document.get("endpoint") != "chat"
        or document.get("label") not in CLASS_OF_LABEL
        or document.get("tier") in (None, "explicit", "conversation")
    ):
        return NOT_DECIDED
    verdicts = [one for one in document.get("verdicts") or [] if isinstance(one, dict)]
    if any(str(one.get("reason")).startswith("metadata.task") for one in verdicts):
        return BY_TASK
    messages = document.get("client_messages")
    if not messages:
        return NO_CONTENT
    try:
        return features_of(parse_request("chat", {"messages": messages}))
    except RouterError:
        return INVALID
