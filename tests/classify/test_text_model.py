"""The learned model as a file: saved, loaded, checked, and never a pickle."""

import time
from pathlib import Path

import numpy as np
import pytest

from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import (
    FILE,
    Model,
    calibration_rows,
    load_model,
    save_model,
    softmax,
)
from airouter.domain.errors import ConfigError
from airouter.settings.load import ROOT
from tests.classify.make import features

SHIPPED = ROOT / "data" / "model"


def test_a_model_survives_being_saved(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    one = encode(features("Why is the sky blue?"), model.spec)
    assert np.array_equal(model.scores(one), again.scores(one))
    assert again.thresholds == model.thresholds


def test_softmax_and_rows() -> None:
    rows = calibration_rows(
        np.array([[3.0, 1.0, 0.0, 0.0]], np.float32),
        np.array([0.5], np.float32),
        np.array([4.5], np.float32),
    )
    assert rows.shape == (1, 16)
    assert rows[0, :4].sum() == pytest.approx(0)
    assert softmax(rows[:, :4]).sum() == pytest.approx(1)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no learned model"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 half a zip"])
def test_a_damaged_model_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_model(tmp_path)


def test_a_truncated_model_is_one_sentence(tmp_path: Path) -> None:
    whole = (SHIPPED / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError):
        load_model(tmp_path)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / FILE, table=np.zeros(3))
    with pytest.raises(ConfigError, match="not a model of this router"):
        load_model(tmp_path)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.savez(
        tmp_path / FILE,
        about=np.array([{"a": 1}], dtype=object),
        **{name: np.zeros(1) for name in ("kept", "table")},
    )
    with pytest.raises(ConfigError):
        load_model(tmp_path)


def test_it_loads_fast_and_is_small() -> None:
    assert (SHIPPED / FILE).stat().st_size < 35_000_000
    times = []
    for _ in range(3):
        started = time.perf_counter()
        load_model(SHIPPED)
        times.append(time.perf_counter() - started)
    assert min(times) < 2, "about 20 ms on an idle machine"
