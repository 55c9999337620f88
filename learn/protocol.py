"""How the learned tier is measured: on origins that neither weights, temperature nor thresholds
have seen. Two protocols:

- `leave_groups_out`: six groups of origins, each scored by a model of the other five. A group's
  temperature and thresholds are from the other groups' scores.
- `as_from_outside`: each group is decided by a model of three other groups, with temperature and
  thresholds from the two that are left: less data, but nothing about the group has touched any of
  it, as with prompts from outside.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from airouter.classify.learned.text_model import CALIBRATION_ROWS, Model, softmax
from learn.data import CLASSES
from learn.fit import F32, Recipe, fit, scores_of
from learn.thresholds import META, PRIMARY, Bools, Budgets, Floats, Ints, Truth, choose
from learn.versions import COPY, PLAIN, Rows, targets_of

GROUPS = 6
_TRAIN = 3  # groups to train on, in `as_from_outside`
# A tenth of the prompts: their bounds are wider. The floors are what such few cannot show to be
# too low: politeness and quotation marks were decided worse below them.
_CJK_BUDGETS = Budgets(
    harmful_upper=0.012,
    accuracy=0.97,
    worst_cloud=0.05,
    worst_harmful=0.03,
    worst_accuracy=0.93,
    least={"PRIMARY": 0.97, "COMPLEX": 0.97, "ENRICH": 0.95},
)
_CJK_LEAST = 800  # prompts; fewer say too little for thresholds of their own
_CJK_FLOORS = {"PRIMARY": 0.95, "COMPLEX": 0.9, "ENRICH": 0.88}


@dataclass(frozen=True, slots=True)
class Measured:
    """Per row: `p` (n, 4), and whether the tier decided. Rows of copies are not measured."""

    p: Floats
    decided: Bools


def groups_of(truth: Truth) -> list[NDArray[np.str_]]:
    """The origins in groups of about as many prompts."""
    names, sizes = np.unique(truth.origin, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    return [order[start::GROUPS] for start in range(GROUPS)]


def leave_groups_out(rows: Rows, recipe: Recipe, workers: int) -> F32:
    """Scores (n, 4) of all rows but copies, each from a model trained without the row's group of
    origins."""
    groups = groups_of(rows.truth)
    jobs = [(np.concatenate(groups[:i] + groups[i + 1 :]), groups[i]) for i in range(GROUPS)]
    scores = np.zeros((len(rows.shape), len(CLASSES)), np.float32)
    for at, found in _scored(rows, recipe, jobs, workers):
        scores[at] = found
    return scores


def as_from_outside(rows: Rows, recipe: Recipe, budgets: Budgets, workers: int) -> Measured:
    """Decisions of each group, by models of three other groups and thresholds of the other two."""
    groups = groups_of(rows.truth)
    parts = [groups[i:] + groups[:i] for i in range(GROUPS)]
    jobs = [(np.concatenate(one[-_TRAIN:]), np.concatenate(one[:-_TRAIN])) for one in parts]
    p, decided = np.zeros((len(rows.shape), len(CLASSES))), np.zeros(len(rows.shape), np.bool_)
    for one, (at, found) in zip(parts, _scored(rows, recipe, jobs, workers), strict=True):
        tested = np.isin(rows.truth.origin[at], one[0])
        tuned = ~tested & (rows.shape[at] == PLAIN)
        _decide(rows, budgets, (at[tuned], found[tuned]), (at[tested], found[tested]), p, decided)
    return Measured(p, decided)


def measured(rows: Rows, scores: F32, budgets: Budgets) -> Measured:
    """Decisions of each group, with temperature and thresholds from the scores of the others."""
    p, decided = np.zeros(scores.shape), np.zeros(len(rows.shape), np.bool_)
    for names in groups_of(rows.truth):
        inside = np.isin(rows.truth.origin, names)
        tuned = np.flatnonzero(~inside & (rows.shape == PLAIN))
        tested = np.flatnonzero(inside & (rows.shape != COPY))
        _decide(rows, budgets, (tuned, scores[tuned]), (tested, scores[tested]), p, decided)
    return Measured(p, decided)


def _decide(
    rows: Rows, budgets: Budgets, tuned: tuple[Ints, F32], tested: tuple[Ints, F32],
    p: Floats, decided: Bools,
) -> None:  # fmt: skip
    """Fill in p and decisions of the `tested` rows (numbers, scores) as the `tuned` ones say."""
    fit = fitted(rows, *tuned, budgets)
    at, scores = tested
    p[at] = softmax(scores / fit.temperature)
    usual, cjk = (np.array([t[name] for name in CLASSES]) for t in (fit.thresholds, fit.cjk))
    best = p[at].argmax(1)
    needed = np.where(rows.cjk[at], cjk[best], usual[best])
    decided[at] = is_open(rows, at, p[at]) & (p[at].max(1) >= needed)


@dataclass(frozen=True, slots=True)
class Fitted:
    """One temperature: with more parameters, origins never seen got worse. `cjk`: the thresholds
    for Chinese, Japanese and Korean."""

    temperature: np.float32
    thresholds: dict[str, float]
    cjk: dict[str, float]


def fitted(rows: Rows, at: Ints, scores: F32, budgets: Budgets) -> Fitted:
    """What these rows, with their held-out scores, lead to."""
    targets = targets_of(rows.truth)[at]

    def loss(temperature: float) -> float:
        p = softmax(scores / np.float32(temperature))
        return -float((targets * np.log(np.maximum(p, 1e-12))).sum())

    best = np.float32(minimize_scalar(loss, bounds=(0.2, 10), method="bounded").x)
    p = softmax(scores / best).astype(np.float64)

    def chosen(which: Bools, allowed: Budgets) -> dict[str, float]:
        some, truth = at[which], routed(rows.truth.at(at[which]))
        return choose(p[which], is_open(rows, some, p[which]), truth, allowed)

    usual = chosen(np.ones(len(at), np.bool_), budgets)
    if rows.cjk[at].sum() < _CJK_LEAST:
        return Fitted(best, usual, usual)
    cjk = chosen(rows.cjk[at], _CJK_BUDGETS)
    cjk = {name: max(value, _CJK_FLOORS.get(name, 0.0)) for name, value in cjk.items()}
    return Fitted(best, usual, cjk)


def is_open(rows: Rows, at: Ints, p: Floats) -> Bools:
    """Where the tier may decide the most probable class."""
    return np.asarray(rows.open_[at, p.argmax(1)], np.bool_)


def calibration_of(temperature: np.float32) -> F32:
    """The model's calibration (16, 4) that divides the scores by a temperature."""
    weights = np.zeros((CALIBRATION_ROWS, len(CLASSES)), np.float32)
    weights[: len(CLASSES)] = np.eye(len(CLASSES), dtype=np.float32) / temperature
    return weights


def routed(truth: Truth) -> Truth:
    """What is right of a decision: a frontend's own prompt that the rules do not know is answered
    by the primary."""
    accepted = truth.accepted.copy()
    accepted[truth.label == META, PRIMARY] = True
    return replace(truth, accepted=accepted)


def fit_on(rows: Rows, names: NDArray[np.str_], recipe: Recipe) -> Model:
    """Weights from the prompts of these origins and their copies."""
    known = np.isin(rows.truth.origin, names) & np.isin(rows.shape, (PLAIN, COPY))
    return fit(rows.matrix, targets_of(rows.truth), np.flatnonzero(known), recipe)


_shared: list[Any] = []  # in each worker process: rows, recipe


def _share(*found: Any) -> None:
    _shared[:] = found


Names = NDArray[np.str_]


def _scored(
    rows: Rows, recipe: Recipe, jobs: Sequence[tuple[Names, Names]], workers: int
) -> list[tuple[Ints, F32]]:
    """For each (origins to train on, origins to score): the rows that were scored, and scores."""
    out = []
    with ProcessPoolExecutor(workers, initializer=_share, initargs=(rows, recipe)) as pool:
        for (train, score), found in zip(jobs, pool.map(_score, jobs), strict=True):
            print(f"  {len(train)} origins scored {', '.join(score)}", flush=True)
            out.append(found)
    return out


def _score(job: tuple[Names, Names]) -> tuple[Ints, F32]:
    rows, recipe = _shared
    model = fit_on(rows, job[0], recipe)
    at = np.flatnonzero(np.isin(rows.truth.origin, job[1]) & (rows.shape != COPY))
    return at, scores_of(model, rows.matrix, at)
