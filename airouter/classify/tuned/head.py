"""A tuned model: another output layer, calibration and thresholds for the learned model.

The file is JSON of about 6 kB. It contains no text and no n-grams, and names the learned model that
it belongs to by the hash of that model's file: on another one its weights would mean nothing.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from airouter.classify.learned.text_model import CALIBRATION_ROWS, F32, FILE, Model
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Head:
    """`base`: hash of the learned model's file. `out` (H, 4), `out_bias` (4,): from its hidden
    units to scores. `thresholds`: minimum probability by class."""

    name: str
    base: str
    out: F32
    out_bias: F32
    temperature: float
    thresholds: dict[str, float]

    def on(self, base: Model) -> Model:
        """The learned model with this output layer; all else is shared with it."""
        calibration = np.zeros((CALIBRATION_ROWS, len(CLASSES)), np.float32)
        calibration[: len(CLASSES)] = np.eye(len(CLASSES)) / self.temperature
        return replace(
            base,
            out=self.out,
            out_bias=self.out_bias,
            calibration=calibration,
            thresholds=self.thresholds,
            thresholds_cjk={},
            version=self.name,
        )

    def to_bytes(self) -> bytes:
        """The content of its file."""
        return orjson.dumps(
            {
                "format": _FORMAT,
                "name": self.name,
                "base": self.base,
                "out": self.out,
                "out_bias": self.out_bias,
                "temperature": self.temperature,
                "thresholds": self.thresholds,
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )


def read_head(data: bytes, name: str) -> Head:
    """The model in the content of a file.

    Raises:
        ConfigError: it is damaged, of another version, or another model than `name`.
    """
    try:
        found: dict[str, Any] = orjson.loads(data)
        out, out_bias = (np.array(found[key], np.float32) for key in ("out", "out_bias"))
        head = Head(
            str(found["name"]),
            str(found["base"]),
            out,
            out_bias,
            float(found["temperature"]),
            {label: float(found["thresholds"][label]) for label in CLASSES},
        )
        fits = (
            found["format"] == _FORMAT
            and head.name == name
            and out.ndim == 2
            and out.shape[1:] == out_bias.shape == (len(CLASSES),)
            and bool(np.isfinite(out).all() and np.isfinite(out_bias).all())
            and head.temperature > 0
        )
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise ConfigError(f"the file of the tuned model {name} is damaged")
    return head


def digest(data: bytes) -> str:
    """The hash by which a file is known: SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of_base(model: Path) -> str:
    """The hash of the learned model's file.

    Args:
        model: `cascade.learned.model`.

    Raises:
        OSError: it cannot be read.
    """
    file = model / FILE if model.is_dir() or not model.suffix else model
    return digest(file.read_bytes())


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
