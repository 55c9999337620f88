"""Fits a tuned model's output layer, temperature and thresholds to examples. numpy only.

The layer starts from the learned model's and is drawn towards it: the fewer examples, the less it
moves. It has 260 weights, so that a share of wrong labels cannot be learned by heart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import F32, Model, softmax
from airouter.classify.tuned.head import Head
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES
from airouter.learning.gate import AGREEMENT, HARMFUL
from airouter.learning.store import Example

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = 1.01  # a threshold that nothing reaches
_STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # of the pull towards the learned model's layer
_TEMPERATURES = np.geomspace(0.3, 5, 40)
_GRID = np.array([*np.arange(0.5, 0.9, 0.04), *np.arange(0.9, 0.999, 0.005), NEVER])
# What the decisions on the tuning part must keep, all together: the gate's levels, by one-sided
# bounds at 95 %, since thresholds do a little worse elsewhere than where they were chosen. Each
# class by itself must not be much worse.
_LEAST_OF_CLASS = 0.95
_Z = 1.6449
_STEPS, _CLOSE = 20, 1e-6


@dataclass(frozen=True, slots=True)
class Part:
    """Hidden units (n, H) of the learned model, and classes (n,)."""

    hidden: F32
    label: Ints


def part_of(base: Model, examples: Sequence[Example]) -> Part:
    """What the fit needs of examples; about 1 ms each."""
    hidden = [base.hidden(encode(one.features, base.spec)) for one in examples]
    label = [CLASSES.index(CLASS_OF_LABEL[one.label]) for one in examples]
    return Part(
        np.array(hidden, np.float32).reshape(len(hidden), len(base.bias)), np.array(label, np.int64)
    )


def fit_head(name: str, base: Model, digest: str, fitting: Part, tuning: Part) -> Head:
    """A tuned model.

    Args:
        digest: hash of the learned model's file.
        fitting: for the weights; `tuning`: for all else. Both not empty.
    """
    layers = [_layer(base, fitting, strength) for strength in _STRENGTHS]
    fits = [(*_temperature(_scores(layer, tuning.hidden), tuning.label), layer) for layer in layers]
    _, temperature, layer = min(fits, key=lambda one: one[0])
    p = softmax(np.asarray(_scores(layer, tuning.hidden) / temperature, np.float32))
    thresholds = _thresholds(p, tuning.label)
    out, out_bias = layer[:-1].astype(np.float32), layer[-1].astype(np.float32)
    return Head(name, digest, out, out_bias, temperature, thresholds)


def _scores(layer: F64, hidden: F32) -> F64:
    return np.asarray(hidden @ layer[:-1] + layer[-1], np.float64)


def _layer(base: Model, part: Part, strength: float) -> F64:
    """(H + 1, 4): weights and bias that minimise the cross-entropy plus `strength` times the
    squared distance from the learned model's, by Newton's method."""
    start = np.vstack((base.out, base.out_bias)).astype(np.float64)
    n, k = len(part.label), start.shape[1]
    deviation = part.hidden.std(0)
    scale = 1 / np.append(deviation + 0.1 * deviation.mean() + 1e-6, 1.0)
    x: F64 = np.hstack((part.hidden, np.ones((n, 1)))).astype(np.float64) * scale
    fixed = _scores(start, part.hidden)
    target = np.eye(k)[part.label]
    moved = np.zeros_like(start)  # in the scale of x

    def loss(weights: F64) -> float:
        scores = fixed + x @ weights
        scores -= scores.max(1, keepdims=True)
        chosen = (scores * target).sum(1) - np.log(np.exp(scores).sum(1))
        return float(strength / 2 * (weights**2).sum() - chosen.mean())

    before = loss(moved)
    for _ in range(_STEPS):
        p = np.exp(fixed + x @ moved - (fixed + x @ moved).max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = x.T @ (p - target) / n + strength * moved
        step = np.linalg.solve(_curvature(x, p, strength), gradient.T.ravel()).reshape(k, -1).T
        size = 1.0
        while (after := loss(moved - size * step)) > before and size > 1e-4:
            size /= 2
        if before - after < _CLOSE:
            break
        moved, before = moved - size * step, after
    return start + moved * scale[:, None]


def _curvature(x: F64, p: F64, strength: float) -> F64:
    """The Hessian, class by class."""
    (n, width), k = x.shape, p.shape[1]
    found = np.empty((k, width, k, width))
    for a in range(k):
        for b in range(k):
            weight = p[:, a] * ((a == b) - p[:, b])
            found[a, :, b, :] = (x * weight[:, None]).T @ x / n
    return found.reshape(k * width, k * width) + strength * np.eye(k * width)


def _temperature(scores: F64, label: Ints) -> tuple[float, float]:
    """The best cross-entropy, and the temperature that has it."""
    rows = np.arange(len(label))
    found = []
    for temperature in _TEMPERATURES:
        p = softmax(np.asarray(scores / temperature, np.float32))
        found.append((float(-np.log(np.maximum(p[rows, label], 1e-9)).mean()), float(temperature)))
    return min(found)


def _thresholds(p: F32, label: Ints) -> dict[str, float]:
    """Thresholds by class: of those that keep the levels, the ones that decide most. META, which
    the rules decide, has one that nothing reaches."""
    predicted, best = p.argmax(1), p.max(1)
    primary, others = (
        [CLASSES.index("PRIMARY")],
        [CLASSES.index("COMPLEX"), CLASSES.index("ENRICH")],
    )
    tables = []
    for number in (*primary, *others):
        mine = predicted == number
        hit, harm = mine & (label == number), mine & np.isin(label, others) & (number in primary)
        counts = [[(of & (best >= step)).sum() for of in (mine, hit, harm)] for step in _GRID]
        table = np.array(counts, np.float64)
        table[table[:, 1] < _LEAST_OF_CLASS * table[:, 0]] = np.nan
        tables.append(table)
    sums = tables[0][:, None, None] + tables[1][None, :, None] + tables[2][None, None, :]
    decided, hits, harms = np.moveaxis(np.nan_to_num(sums), -1, 0)
    n = np.maximum(decided, 1)
    fits = (_upper(n - hits, n) <= 1 - AGREEMENT) & (_upper(harms, n) <= HARMFUL)
    chosen = np.unravel_index(np.argmax(np.where(fits, decided, -1)), decided.shape)
    if not fits[chosen]:
        return dict.fromkeys(CLASSES, NEVER)
    steps = [round(float(_GRID[at]), 3) for at in chosen]
    return {"PRIMARY": steps[0], "COMPLEX": steps[1], "ENRICH": steps[2], "META": NEVER}


def _upper(bad: F64, n: F64) -> F64:
    """Wilson's upper bound of a share: close to the exact one, and fast for a whole grid."""
    share, spread = bad / n, _Z * _Z / n
    half = _Z * np.sqrt(share * (1 - share) / n + spread / (4 * n))
    return np.asarray((share + spread / 2 + half) / (1 + spread), np.float64)
