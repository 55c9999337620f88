"""The prompts as rows to train on and to measure with: each as it is, in a copy for training
(`shapes.py`), and a sample of them in the shapes of `evaluate --shape`, which are never trained
on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from airouter.classify.doubts import doubt_about, doubt_of
from airouter.classify.learned.text_features import encode, is_cjk
from airouter.domain.types import Features
from airouter.evaluation.shapes import SHAPES, changed
from learn.data import CLASSES, Prompt
from learn.fit import Matrix, Recipe, matrix_of
from learn.shapes import reshaped
from learn.thresholds import META, Bools, Ints, Truth

SAMPLE = 3000  # prompts in each of the other shapes
MAX_CHARS = 4000  # nothing longer was trained on
PLAIN, COPY = "plain", "copy"


@dataclass(frozen=True, slots=True)
class Rows:
    """All arrays have a row per version of a prompt; the plain ones come first.

    `truth`: the prompt's. `prompt`: its number. `shape`: PLAIN, COPY or one of `SHAPES`. `open_`
    (n, 4): whether the tier may decide such a request so at any probability. `cjk`: whether its
    thresholds are those for Chinese, Japanese and Korean.
    """

    matrix: Matrix
    truth: Truth
    prompt: Ints
    shape: NDArray[np.str_]
    open_: Bools
    cjk: Bools

    def where(self, *shapes: str) -> Ints:
        return np.flatnonzero(np.isin(self.shape, shapes))


def versions_of(prompts: Sequence[Prompt], recipe: Recipe) -> Rows:
    chance = random.Random(recipe.seed)
    features, numbers, shapes = [prompt.features for prompt in prompts], [*range(len(prompts))], []
    shapes = [PLAIN] * len(prompts)

    def add(shape: str, number: int, version: Features) -> None:
        features.append(version)
        numbers.append(number)
        shapes.append(shape)

    for _ in range(recipe.copies):
        for number in range(len(prompts)):
            add(COPY, number, reshaped(features[number], chance))
    asked = [i for i, prompt in enumerate(prompts) if prompt.label != CLASSES[META]]
    sample = sorted(chance.sample(asked, min(SAMPLE, len(asked))))
    for shape in SHAPES:
        for number in sample:
            version = in_shape(prompts[number], shape)
            if version is not None:
                add(shape, number, version)
    matrix = matrix_of([encode(one, recipe.spec) for one in features], recipe.spec)
    open_ = np.array([may_decide(one) for one in features])
    at = np.array(numbers)
    cjk = np.array([is_cjk(one.ask) for one in features])
    return Rows(matrix, truth_of(prompts).at(at), at, np.array(shapes), open_, cjk)


def in_shape(prompt: Prompt, shape: str) -> Features | None:
    """As `evaluate --shape` changes it; None if it cannot have the shape."""
    record = {"messages": prompt.messages, "label": prompt.label, "lang": prompt.lang}
    made = changed(record, shape)
    return None if made is None else replace(prompt, messages=made["messages"]).features


def may_decide(features: Features) -> list[bool]:
    """Which classes the router's tiers may decide for such a request, at any probability."""
    if doubt_about(features, MAX_CHARS):
        return [False] * len(CLASSES)
    return [not doubt_of(name, features) for name in CLASSES]


def truth_of(prompts: Sequence[Prompt]) -> Truth:
    label = np.array([CLASSES.index(prompt.label) for prompt in prompts])
    accepted = np.array([[name in prompt.accepted for name in CLASSES] for prompt in prompts])
    return Truth(label, accepted, np.array([prompt.origin for prompt in prompts]))


def targets_of(truth: Truth) -> NDArray[np.float32]:
    """One-hot; where a second label is acceptable, half each."""
    return np.asarray(truth.accepted / truth.accepted.sum(1, keepdims=True), np.float32)
