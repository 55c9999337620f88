"""The shape of a request does not change its label: politeness, quotation marks, typing errors, an
earlier exchange, a system message."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from airouter.classify.tiers.learned import LearnedTier
from airouter.domain.labels import ROUTE_OF_LABEL
from airouter.evaluation.shapes import SHAPES, changed
from learn.data import Prompt, read_prompts

_SAMPLE = 1000


@pytest.fixture(scope="module")
def sample() -> list[Prompt]:
    asked = [prompt for prompt in read_prompts()[0] if prompt.label != "META"]
    return random.Random(17).sample(asked, _SAMPLE)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_is_decided_in_both_shapes_is_decided_alike(
    learned: LearnedTier, sample: list[Prompt], shape: str
) -> None:
    """At most 1 % flips. The texts of the shapes are in no training data."""
    twice = flips = 0
    for prompt in sample:
        record = {"messages": prompt.messages, "label": prompt.label, "lang": prompt.lang}
        made = changed(record, shape)
        if made is None:
            continue
        labels = [
            learned.vote(one.features).label
            for one in (prompt, replace(prompt, messages=made["messages"]))
        ]
        if None not in labels:
            twice += 1
            first, second = (ROUTE_OF_LABEL[str(label)] for label in labels)
            flips += first != second
    assert twice > 100, "too few to tell"
    assert flips <= twice / 100
