"""Embeddings of the training data are computed once."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from airouter.classify.encoder.engine import F32, SIZE
from learn import embeddings as module
from learn.embeddings import embeddings
from learn.encoder_shapes import MEASURED, for_training


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the encoder has been asked to embed."""
    texts: list[str] = []

    def embed(text: str) -> F32:
        texts.append(text)
        return np.full(SIZE, len(text), np.float32)

    monkeypatch.setattr(module, "load_engine", lambda: embed)
    monkeypatch.setattr(module, "_SAVE_EVERY", 2)
    return texts


def test_only_what_the_file_lacks_is_computed(tmp_path: Path, embedded: list[str]) -> None:
    file = tmp_path / "cache.npz"
    first = embeddings(["one", "three", "one", "seven", "eleven"], file)
    assert first[:, 0].tolist() == [3, 5, 3, 5, 6]
    again = embeddings(["eleven", "twelve!", "one"], file)
    assert again[:, 0].tolist() == [6, 7, 3]
    assert embedded == ["one", "three", "seven", "eleven", "twelve!"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache.npz"]


def test_with_everything_there_no_encoder_is_needed(
    tmp_path: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings(["one"], tmp_path / "cache.npz")
    monkeypatch.setattr(module, "load_engine", lambda: pytest.fail("it was loaded"))
    assert embeddings(["one"], tmp_path / "cache.npz").shape == (1, SIZE)


def test_other_shapes_keep_the_ask() -> None:
    chance = random.Random(1)
    ask = "What is {this}?"
    for change in (for_training, *MEASURED.values()):
        made = [change(ask, chance) for _ in range(50)]
        assert all(ask in one and one != ask for one in made)
