"""The head: what is embedded of a request, and what the shipped file decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from airouter.classify.encoder.engine import SIZE
from airouter.classify.encoder.head import Head, load_head, save_head, text_of
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES
from airouter.settings.load import ROOT
from tests.classify.encoder_stand_in import make_head

SHIPPED = ROOT / "data" / "model" / "encoder.npz"
GOLDEN = Path(__file__).parent / "data" / "embeddings.npz"


@pytest.fixture(scope="module")
def shipped() -> Head:
    return load_head(SHIPPED)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ("  two \n\t words ", "two words"),
        ("ﬁne１２", "fine12"),
        ("a\0b", "a b"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_white_space_and_forms_of_characters_are_folded(ask: str, text: str) -> None:
    assert text_of(ask) == text


@pytest.mark.parametrize("length", [501, 3999, 4001, 1_000_000])
def test_of_a_long_text_both_ends_are_embedded(length: int) -> None:
    text = text_of("b" + "x" * (length - 2) + "e")
    assert len(text) == 503
    assert text.startswith("bxx")
    assert text.endswith("xxe")
    assert text[350:353] == " … "


def test_no_character_is_left_that_the_tokenizer_expands() -> None:
    """It reserves four code points for each byte; U+FDFA has three bytes and becomes 18."""
    assert "\ufdfa" not in text_of("\ufdfa" * 500)
    assert len(text_of("\ufdfa" * 500)) <= 503


def test_a_head_is_saved_and_loaded(tmp_path: Path) -> None:
    head = make_head()
    save_head(head, tmp_path / "encoder.npz")
    again = load_head(tmp_path / "encoder.npz")
    vector = np.linspace(-1, 1, SIZE, dtype=np.float32)
    assert again.probabilities(vector, 80) == head.probabilities(vector, 80)
    assert (again.thresholds, again.limits, again.version) == (
        head.thresholds,
        head.limits,
        head.version,
    )


def test_probabilities_add_up_to_1_whatever_the_scores() -> None:
    head = make_head()
    for size in (0.0, 1.0, 1e6):
        p = head.probabilities(np.full(SIZE, size, np.float32), 10)
        assert sum(p) == pytest.approx(1)


@pytest.mark.parametrize("damage", ["missing", "garbage", "shape", "encoder", "thresholds"])
def test_a_head_that_cannot_be_used_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "encoder.npz"
    save_head(make_head(), file)
    with np.load(file) as loaded:
        arrays = dict(loaded)
    about = orjson.loads(arrays["about"].tobytes())
    if damage == "encoder":
        about["encoder"] = "0" * 64
    if damage == "thresholds":
        del about["thresholds"]["ENRICH"]
    if damage == "shape":
        arrays["inner"] = arrays["inner"][1:]
    arrays["about"] = np.frombuffer(orjson.dumps(about), np.uint8)
    np.savez(file, **arrays)
    if damage == "missing":
        file.unlink()
    if damage == "garbage":
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"encoder\.npz.*learn\.train_encoder"):
        load_head(file)


# What ships ---------------------------------------------------------------------------------------


def test_the_shipped_head_is_small_and_never_decides_meta(shipped: Head) -> None:
    assert SHIPPED.stat().st_size < 400_000
    assert shipped.thresholds["META"] > 1
    assert all(0.8 <= shipped.thresholds[name] < 1 for name in CLASSES[:3])


def test_the_shipped_head_decides_stored_embeddings_as_when_it_was_trained(shipped: Head) -> None:
    """Golden: asks, their embeddings, and the probabilities from the day of training."""
    with np.load(GOLDEN) as golden:
        asks = orjson.loads(golden["asks"].tobytes())
        for ask, vector, expected in zip(asks, golden["vectors"], golden["p"], strict=True):
            p = shipped.probabilities(vector, len(ask))
            assert p == pytest.approx(tuple(expected), abs=1e-4), ask
            name = CLASSES[p.index(max(p))]
            assert max(p) >= shipped.thresholds[name], ask
