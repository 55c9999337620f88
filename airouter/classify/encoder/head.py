"""The classification head: one hidden layer (ReLU) on a sentence embedding and the text's length.

`encoder.npz` contains, without pickle:
    inner       float32 (385, H): from the embedding and the length to the hidden units
    inner_bias  float32 (H,)
    outer       float32 (H, 4): to the scores, columns as `CLASSES`
    outer_bias  float32 (4,)
    about       uint8: JSON with the thresholds, the limits and the SHA-256 of the encoder's weights
"""

import math
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from airouter.classify.encoder.engine import F32, SHA256, SIZE
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES

FORMAT = 1
_ARRAYS = ("inner", "inner_bias", "outer", "outer_bias")
HEAD_CHARS, TAIL_CHARS = 350, 150  # what is embedded of a longer text
_RAW_CHARS = 4 * (HEAD_CHARS + TAIL_CHARS)  # what is read at each end: white space is folded


@dataclass(frozen=True, slots=True)
class Head:
    """Read-only, and therefore shared by all threads. The probabilities are calibrated: the
    temperature is part of the outer weights."""

    inner: F32
    inner_bias: F32
    outer: F32
    outer_bias: F32
    thresholds: dict[str, float]
    limits: dict[str, float]  # max_chars
    version: str

    def probabilities(self, embedding: F32, chars: int) -> tuple[float, ...]:
        """In the order of `CLASSES`. `chars`: the length of the whole text."""
        row = np.append(embedding, np.float32(length_feature(chars)))
        hidden = np.maximum(row @ self.inner + self.inner_bias, 0)
        scores = (hidden @ self.outer + self.outer_bias).tolist()
        top = max(scores)
        e = [math.exp(score - top) for score in scores]
        total = sum(e)
        return tuple(one / total for one in e)


def length_feature(chars: int) -> float:
    """About -1..1 from 20 to 400 characters."""
    return (math.log1p(chars) - 4.5) / 1.5


def text_of(ask: str) -> str:
    """What is embedded: NFKC with single spaces, both ends if it is long; at most 503 characters.

    NFKC also protects the process: the library's tokenizer reserves too little memory for the one
    character that it expands more than twelvefold, U+FDFA.
    """
    if len(ask) > 2 * _RAW_CHARS:
        ask = f"{ask[:_RAW_CHARS]} … {ask[-_RAW_CHARS:]}"
    text = " ".join(unicodedata.normalize("NFKC", ask).split())
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]} … {text[-TAIL_CHARS:]}"
    # Lone surrogates cannot be encoded; at a NUL the library would stop reading.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def save_head(head: Head, file: Path) -> None:
    about = {
        "format": FORMAT,
        "version": head.version,
        "encoder": SHA256,
        "thresholds": head.thresholds,
        "limits": head.limits,
    }
    arrays: dict[str, Any] = {name: getattr(head, name) for name in _ARRAYS}
    np.savez(file, **arrays, about=np.frombuffer(orjson.dumps(about), np.uint8))


def load_head(file: Path) -> Head:
    """Raises:
    ConfigError: it is missing, damaged or was made for another encoder.
    """
    unusable = "train it by `python -m learn.train_encoder`, or remove the tier 'encoder' from "
    unusable += "cascade.tiers."
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about = orjson.loads(arrays["about"].tobytes())
            head = Head(
                **{name: np.ascontiguousarray(arrays[name], np.float32) for name in _ARRAYS},
                thresholds={name: float(about["thresholds"][name]) for name in CLASSES},
                limits={"max_chars": float(about["limits"]["max_chars"])},
                version=str(about["version"]),
            )
            made_for = about["format"], about["encoder"]
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no head for the encoder; {unusable}") from None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error
    ):  # fmt: skip
        raise ConfigError(f"{file}: the encoder's head cannot be read; {unusable}") from None
    units, classes = len(head.inner_bias), len(CLASSES)
    shapes = [getattr(head, name).shape for name in _ARRAYS]
    fitting = [(SIZE + 1, units), (units,), (units, classes), (classes,)]
    if made_for != (FORMAT, SHA256) or shapes != fitting:
        raise ConfigError(f"{file}: the head was made for another encoder; {unusable}")
    return head
