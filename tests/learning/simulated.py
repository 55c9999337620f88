"""Three weeks of a router: sessions that a simulated classifier labelled, and a learned model that
decides nothing, so that all of them reached the classifier."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from airouter.classify.learned.kernel import predictor
from airouter.classify.learned.text_model import Model, load_model
from airouter.domain.labels import CLASSES
from airouter.domain.types import Features, Verdict
from airouter.learning.collect import is_fit
from airouter.settings.load import ROOT
from airouter.telemetry.session_document import document
from learn.data import read_prompts
from tests.records import record

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PER_WEEK = 2000
_BORDERLINE = 300  # of them, where the classifier makes nearly all its errors
_UNCLEAR, _CLEAR = 1000, 8000  # prompts of the project, from both ends, that they are drawn from
_SAID = {"PRIMARY": "MODERATE", "COMPLEX": "COMPLEX", "ENRICH": "ENRICH"}
_WRONG = {"MODERATE": "ENRICH", "COMPLEX": "MODERATE", "ENRICH": "MODERATE"}


class Ask:
    """A request with its true label, and the probability that the model gives it; `clear`: whether
    it is easy to classify."""

    def __init__(self, features: Features, messages: list[dict[str, str]], label: str, p: float):
        self.features, self.messages, self.label, self.p = features, messages, label, p
        self.clear = False


def undecided(model: Model) -> Model:
    """The model with thresholds that nothing reaches."""
    return replace(model, thresholds=dict.fromkeys(CLASSES, 1.01), thresholds_cjk={})


@cache
def asks() -> tuple[Ask, ...]:
    """Three weeks of asks, all different; each week is a mix of clear and borderline ones."""
    predict = predictor(load_model(ROOT / "data" / "model"))
    found = [
        Ask(
            features,
            prompt.messages,
            _SAID[prompt.label],
            predict(features).p[CLASSES.index(prompt.label)],
        )
        for prompt in read_prompts()[0]
        if prompt.label != "META" and is_fit(features := prompt.features)
    ]
    chance = random.Random(7)
    chance.shuffle(found)
    ranked = sorted(found, key=lambda one: one.p)
    others, clear = ranked[:_UNCLEAR], ranked[-_CLEAR:]
    for one in clear:
        one.clear = True
    chance.shuffle(others)
    chance.shuffle(clear)
    weeks: list[Ask] = []
    for week in range(3):
        mixed = others[week * _BORDERLINE : (week + 1) * _BORDERLINE]
        count = PER_WEEK - _BORDERLINE
        mixed += clear[week * count : (week + 1) * count]
        chance.shuffle(mixed)
        weeks += mixed
    assert len(weeks) == 3 * PER_WEEK
    return tuple(weeks)


def week(number: int) -> Sequence[Ask]:
    """The asks of a week, 1 to 3."""
    return asks()[(number - 1) * PER_WEEK : number * PER_WEEK]


class Teacher:
    """Errs in 5 % of all asks, nearly always in borderline ones; `even`: in all alike. Once it has
    drifted it also answers many an ENRICH ask from memory."""

    def __init__(self, *, even: bool = False, drifted: bool = False) -> None:
        self._chance = random.Random(11)
        self._even, self._drifted = even, drifted

    def label(self, ask: Ask) -> str:
        rate = 0.05 if self._even else 0.002 if ask.clear else 0.32
        if self._chance.random() < rate:
            return _WRONG[ask.label]
        if self._drifted and ask.label == "ENRICH" and self._chance.random() < 0.4:
            return "MODERATE"
        return ask.label


def write_sessions(folder: Path, asks: Sequence[Ask], teacher: Teacher, number: int) -> None:
    """Session files of a week, at even intervals."""
    folder.mkdir(parents=True, exist_ok=True)
    began, apart = START + timedelta(weeks=number - 1), timedelta(days=7) / len(asks)
    for at, ask in enumerate(asks):
        label = teacher.label(ask)
        made = record(
            id=f"{number}{at:07d}",
            timestamp=began + at * apart,
            client_messages=ask.messages,
            tier="reasoning",
            label=label,
            verdicts=(
                Verdict("learned", None, reason="below the threshold"),
                Verdict("reasoning", label, finish_reason="label", raw=label),
            ),
        )
        name = f"{made.timestamp:%Y-%m-%d_%H-%M-%S}_{made.id[:8]}.json"
        (folder / name).write_bytes(document(made))


def now_after(week: int) -> float:
    """The end of a week, in seconds since 1970."""
    return (START + timedelta(weeks=week)).timestamp()
