"""The fit: finds what can be found, moves little on few examples, and sets thresholds that keep the
levels."""

from typing import Any

import numpy as np
import pytest

from airouter.classify.learned.text_model import Model, load_model
from airouter.domain.labels import CLASSES
from airouter.learning.fit import NEVER, Ints, Part, _layer, _thresholds, fit_head
from airouter.settings.load import ROOT

PRIMARY, COMPLEX, ENRICH, META = range(4)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(ROOT / "data" / "model")


def drawn(model: Model, n: int, seed: int, noise: float = 0.0) -> Part:
    """Random hidden units, of which the first three say the class; a share of labels is wrong."""
    chance = np.random.default_rng(seed)
    label: Ints = chance.integers(0, 3, n)
    hidden = chance.random((n, len(model.bias)), np.float32)
    hidden[np.arange(n), label] += 2
    wrong = chance.random(n) < noise
    label[wrong] = (label[wrong] + 1) % 3
    return Part(hidden, label)


def decisions(head: Any, part: Part) -> tuple[Ints, np.ndarray]:
    scores = (part.hidden @ head.out + head.out_bias) / head.temperature
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    needed = np.array([head.thresholds[name] for name in CLASSES])
    return p.argmax(1), p.max(1) >= needed[p.argmax(1)]


def test_what_can_be_learned_is(model: Model) -> None:
    head = fit_head("n", model, "d", drawn(model, 900, 1), drawn(model, 900, 2))
    test = drawn(model, 900, 3)
    label, decided = decisions(head, test)
    assert decided.mean() > 0.8
    assert (label == test.label)[decided].mean() > 0.98
    assert head.thresholds["META"] == NEVER


def test_labels_that_are_wrong_everywhere_leave_nothing(model: Model) -> None:
    head = fit_head("n", model, "d", drawn(model, 900, 1, 0.2), drawn(model, 900, 2, 0.2))
    assert set(head.thresholds.values()) == {NEVER}


def test_it_is_the_minimum(model: Model) -> None:
    """Newton's steps end where no small change is better."""
    part, strength = drawn(model, 300, 1), 0.01
    layer = _layer(model, part, strength)
    start = np.vstack((model.out, model.out_bias)).astype(np.float64)
    scale = part.hidden.std(0) + 0.1 * part.hidden.std(0).mean() + 1e-6
    pull = np.append(scale, 1.0)[:, None]

    def loss(weights: np.ndarray) -> float:
        scores = part.hidden @ weights[:-1] + weights[-1]
        p = scores - np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1, keepdims=True))
        p -= scores.max(1, keepdims=True)
        moved = ((weights - start) * pull) ** 2
        return float(strength / 2 * moved.sum() - p[np.arange(len(p)), part.label].mean())

    least = loss(layer)
    chance = np.random.default_rng(5)
    for _ in range(20):
        assert loss(layer + 0.02 * chance.standard_normal(layer.shape)) > least - 1e-5


def test_a_strong_pull_stays_near_the_learned_layer(model: Model) -> None:
    start = np.vstack((model.out, model.out_bias))
    far, near = (np.abs(_layer(model, drawn(model, 50, 1), s) - start).sum() for s in (1e-3, 100.0))
    assert near < far / 20


def test_thresholds_keep_the_levels() -> None:
    """They decide as much as possible: here all at 0.942, where none is wrong."""
    n = 1000
    p, label = np.full((n, 4), 0.02, np.float32), np.arange(n) % 3
    p[np.arange(n), label] = 0.942
    unsure = np.arange(n) % 5 == 0
    p[unsure] = [0.6, 0.2, 0.15, 0.05]
    label[unsure] = np.arange(n)[unsure] % 2
    found = _thresholds(p, label)
    assert 0.6 < found["PRIMARY"] <= 0.942
    assert found["COMPLEX"] <= 0.942
    assert found["ENRICH"] <= 0.942
    harmful = (label == PRIMARY) & (np.arange(n) % 90 == 21)
    label[harmful] = COMPLEX
    assert _thresholds(p, label)["PRIMARY"] > 0.942
