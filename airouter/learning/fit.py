"""Fits a tuned model's output layer, temperature and thresholds to examples. numpy only.

The layer starts from the learned model's and is drawn towards it: the fewer examples, the less it
moves. It has 260 weights, so that a share of wrong labels cannot be learned by heart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import F32, Model, softmax
from airouter.classify.tuned.head import Head
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES
from airouter.learning.store import Example

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = 1.01  # a threshold that nothing reaches
_STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # of the pull towards the learned model's layer
_TEMPERATURES = np.geomspace(0.3, 5, 40)
_GRID = np.arange(0.5, 0.999, 0.005)
# What the share of right decisions of each class must reach on the tuning part, by its lower bound
# (Wilson, one-sided at 95 %): thresholds that were chosen there do a little worse elsewhere. A
# wrong PRIMARY is always a harmful one.
_PRECISION = {"PRIMARY": 0.98, "COMPLEX": 0.97, "ENRICH": 0.97}
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
    thresholds = {
        label: _threshold(p, tuning.label, number, _PRECISION[label]) if label != "META" else NEVER
        for number, label in enumerate(CLASSES)
    }
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


def _threshold(p: F32, label: Ints, number: int, precision: float) -> float:
    """The lowest threshold from which on the class's decisions are right often enough."""
    predicted, best = p.argmax(1) == number, p.max(1)
    for threshold in _GRID:
        decided = predicted & (best >= threshold)
        if _lower(int((decided & (label == number)).sum()), int(decided.sum())) >= precision:
            return round(float(threshold), 3)
    return NEVER


def _lower(good: int, n: int) -> float:
    """Wilson's lower bound of a share: close to the exact one, and fast for a whole grid."""
    if not n:
        return 0.0
    share, spread = good / n, _Z * _Z / n
    half = _Z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (share + spread / 2 - half) / (1 + spread)
