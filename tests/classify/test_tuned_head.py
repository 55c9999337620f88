"""The file of a tuned model: what is written is read, and what is damaged is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import FILE, Model
from airouter.classify.tuned.head import Head, digest, digest_of_base, read_head, write_private
from airouter.domain.errors import ConfigError
from airouter.settings.load import ROOT
from tests.classify.make import features

NAME = "2026-03-09-1"


def head(model: Model) -> Head:
    bias = np.add(model.out_bias, [5, 0, 0, 0], dtype=np.float32)
    return Head(NAME, "0" * 64, model.out, bias, 2.0, dict(model.thresholds))


def test_what_is_written_is_read(model: Model) -> None:
    made = head(model)
    found = read_head(made.to_bytes(), NAME)
    assert np.array_equal(found.out, made.out)
    assert np.array_equal(found.out_bias, made.out_bias)
    assert replace(found, out=made.out, out_bias=made.out_bias) == made
    assert b"hello" not in made.to_bytes()
    assert len(made.to_bytes()) < 8000


def test_its_layer_and_temperature_decide(model: Model) -> None:
    encoded = encode(features("Write a haiku about rain"), model.spec)
    scores = np.add(model.scores(encoded), [5, 0, 0, 0]) / 2
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    tuned = head(model).on(model)
    assert np.allclose(tuned.predict(encoded).p, expected, atol=1e-5)
    assert tuned.table is model.table
    assert tuned.version == NAME


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": "2026-03-09-2"},
        {"out": [[1.0, 2.0]]},
        {"out_bias": [1.0]},
        {"out_bias": [None, 0, 0, 0]},
        {"temperature": 0},
        {"thresholds": {"PRIMARY": 0.9}},
    ],
)
def test_damage_is_a_sentence(model: Model, change: dict[str, object]) -> None:
    data = orjson.dumps(orjson.loads(head(model).to_bytes()) | change)
    with pytest.raises(ConfigError, match="is damaged"):
        read_head(data, NAME)
    with pytest.raises(ConfigError, match="is damaged"):
        read_head(data[:50], NAME)


def test_the_base_is_known_by_its_file() -> None:
    folder = ROOT / "data" / "model"
    assert digest_of_base(folder) == digest((folder / FILE).read_bytes())
    assert digest_of_base(folder / FILE) == digest_of_base(folder)


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["file.json"]
