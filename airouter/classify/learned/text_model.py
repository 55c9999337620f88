"""The learned model: a sum of embedded n-gram hashes, one hidden layer, and a calibration. It needs
numpy only.

`weights.npz` contains, without pickle:
    kept         int32 (R,): the buckets of the n-gram table that have a row, ascending
    table        int8 (R, H): what each bucket adds to the hidden units
    table_scale  float32 (H,)
    dense        float32 (D, H): weights of the dense features
    mean, scale  float32 (D,): of the dense features
    bias         float32 (H,)
    out          float32 (H, 4): from the hidden units (ReLU) to the scores, columns as `CLASSES`
    out_bias     float32 (4,)
    calibration  float32 (K, 4): from scores, unseen ratio and length to calibrated scores
    seen         uint8 (2^seen_bits / 8,): one bit per n-gram seen in training
    about        uint8: JSON with the spec, the thresholds and the limits
"""

import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from airouter.classify.learned.text_features import NAMES, U64, Encoded, Spec
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES

FILE = "weights.npz"
FORMAT = 2
DENSE_LIMIT = 4.0  # standard deviations to which dense features are clipped
CALIBRATION_ROWS = 16
_BIT = (1 << np.arange(8)).astype(np.uint8)
_WEIGHTS = (
    "kept",
    "table",
    "table_scale",
    "dense",
    "mean",
    "scale",
    "bias",
    "out",
    "out_bias",
    "calibration",
    "seen",
)

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Calibrated probabilities in the order of `CLASSES`, and the share (0..1) of the text's
    n-grams that do not occur in the training data."""

    p: tuple[float, ...]
    unseen_ratio: float


@dataclass(frozen=True, slots=True)
class Model:
    """Read-only after loading, and therefore shared by all threads. `row_of` (2^bits,): bucket →
    row of the table; row 0 is zeros."""

    spec: Spec
    row_of: NDArray[np.int32]
    table: NDArray[np.int8]
    table_scale: F32
    dense: F32
    mean: F32
    scale: F32
    bias: F32
    out: F32
    out_bias: F32
    calibration: F32
    seen: NDArray[np.uint8]
    thresholds: dict[str, float]
    limits: dict[str, float]  # max_strange (an unseen ratio), max_chars
    version: str
    # For Chinese, Japanese and Korean, whose n-grams are seldom seen: the same probability is
    # safer there. Empty: as for other text.
    thresholds_cjk: dict[str, float] = field(default_factory=dict)
    # The columns of the calibration, for `calibrated()`.
    columns: tuple[tuple[float, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(map(tuple, self.calibration.T.tolist())))

    def hidden(self, encoded: Encoded) -> F32:
        """The hidden units (H,), which the scores are computed from."""
        rows = self.table.take(self.row_of.take(encoded.index), axis=0)
        summed = encoded.value @ rows.astype(np.float32) * self.table_scale
        dense = ((encoded.dense - self.mean) * self.scale).clip(-DENSE_LIMIT, DENSE_LIMIT)
        return np.asarray(np.maximum(summed + dense @ self.dense + self.bias, 0), np.float32)

    def scores(self, encoded: Encoded) -> F32:
        """Scores (4,) before calibration."""
        return np.asarray(self.hidden(encoded) @ self.out + self.out_bias, np.float32)

    def predict(self, encoded: Encoded) -> Prediction:
        """The prediction for one request, in under 1 ms."""
        ratio = unseen(encoded.grams, self.seen, self.spec.seen_bits)
        scores, log_chars = self.scores(encoded).tolist(), float(encoded.dense[0])
        return Prediction(self.calibrated(scores, ratio, log_chars), ratio)

    def calibrated(
        self, scores: Sequence[float], unseen_ratio: float, log_chars: float
    ) -> tuple[float, ...]:
        """`softmax(calibration_rows(…) @ calibration)` for one request. Without numpy, whose forty
        calls would take longer than the arithmetic on four numbers."""
        mean = sum(scores) / 4
        centred = [score - mean for score in scores]
        second, first = sorted(centred)[2:]
        length = (log_chars - 4.5) / 1.5
        row = (
            *centred,
            *[score * unseen_ratio for score in centred],
            *[score * length for score in centred],
            *(unseen_ratio, length, (first - second) * 0.1, 1.0),
        )
        final = [sum(map(mul, row, column)) for column in self.columns]
        top = max(final)
        e = [math.exp(score - top) for score in final]
        total = sum(e)
        return tuple(one / total for one in e)


def calibration_rows(scores: F32, unseen_ratio: F32, log_chars: F32) -> F32:
    """The inputs (n, 16) of the linear calibration.

    The centred scores, alone and multiplied by the unseen ratio and the length, because a score
    means less in an unfamiliar or short text; then ratio, length, margin and a constant.

    Args:
        scores: (n, 4), before calibration.
        unseen_ratio: (n,), 0..1.
        log_chars: (n,), log(1 + characters).
    """
    centred = scores - np.add.reduce(scores, axis=1, keepdims=True) / 4
    ordered = np.sort(centred, axis=1)
    rows = np.ones((len(scores), CALIBRATION_ROWS), np.float32)
    rows[:, 12] = unseen_ratio
    rows[:, 13] = (log_chars - 4.5) / 1.5  # about -1..1 from 20 to 400 characters
    rows[:, 14] = (ordered[:, 3] - ordered[:, 2]) * 0.1
    rows[:, :4] = centred
    rows[:, 4:8] = centred * rows[:, 12:13]
    rows[:, 8:12] = centred * rows[:, 13:14]
    return rows


def softmax(scores: F32) -> F32:
    """The softmax of each row."""
    e = np.exp(scores - np.maximum.reduce(scores, axis=1, keepdims=True))
    return np.asarray(e / np.add.reduce(e, axis=1, keepdims=True), np.float32)


def unseen(grams: U64, seen: NDArray[np.uint8], bits: int) -> float:
    """The share of the hashes that do not occur in the training data; 1.0 if there are no hashes.

    Args:
        seen: one bit per hash, addressed by its first `bits` bits.
    """
    if not len(grams):
        return 1.0
    at = (grams >> np.uint64(64 - bits)).astype(np.int64)
    return 1.0 - np.count_nonzero(seen[at >> 3] & _BIT[at & 7]) / len(grams)


def save_model(model: Model, folder: Path) -> None:
    """Write `weights.npz` into the folder, uncompressed: int8 weights hardly shrink, and it loads
    faster."""
    about = {
        "format": FORMAT,
        "version": model.version,
        "spec": asdict(model.spec),
        "dense_names": list(NAMES),
        "thresholds": model.thresholds,
        "thresholds_cjk": model.thresholds_cjk,
        "limits": model.limits,
    }
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        name: getattr(model, name) for name in _WEIGHTS if name not in ("kept", "table")
    }
    kept = np.flatnonzero(model.row_of).astype(np.int32)
    arrays |= {
        "kept": kept,
        "table": model.table[model.row_of[kept]],
        "about": np.frombuffer(orjson.dumps(about), np.uint8),
    }
    np.savez(folder / FILE, **arrays)


def load_model(path: Path) -> Model:
    """Load a model from its folder, or from the file itself.

    Raises:
        ConfigError: it is missing, unreadable or in another format; the message says what to do.
    """
    file = path / FILE if path.is_dir() or not path.suffix else path
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = {*_WEIGHTS, "about"} - set(arrays.files)
            if missing:
                raise ConfigError(
                    f"{file}: not a model of this router ({', '.join(sorted(missing))} missing); "
                    "run `make train`."
                )
            return _built(file, {name: arrays[name] for name in (*_WEIGHTS, "about")})
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no learned model; run `make train`, or remove the tier 'learned' "
            "from cascade.tiers."
        ) from None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        raise ConfigError(
            f"{file}: the learned model cannot be read; it is damaged or not a model. "
            "Run `make train`."
        ) from None


def rows_of(kept: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """(2^bits,): for each bucket, 1 + its index in `kept`, or 0 if it is not there."""
    row_of = np.zeros(2**bits, np.int32)
    row_of[kept] = np.arange(1, len(kept) + 1, dtype=np.int32)
    return row_of


def _on_cache_lines(shape: tuple[int, int]) -> NDArray[np.int8]:
    """An empty array that begins on a cache line (64 bytes), so that a row of 64 is one line."""
    memory = np.empty(shape[0] * shape[1] + 64, np.int8)
    start = -memory.ctypes.data % 64
    return memory[start : start + shape[0] * shape[1]].reshape(shape)


def _built(file: Path, arrays: dict[str, Any]) -> Model:
    about = orjson.loads(arrays["about"].tobytes())
    if about.get("format") != FORMAT or about.get("dense_names") != list(NAMES):
        raise ConfigError(
            f"{file}: the model was made for another version of the router; run `make train`."
        )
    spec = Spec(**{**about["spec"], "ngrams": tuple(about["spec"]["ngrams"])})
    rows, hidden = len(arrays["kept"]), len(arrays["bias"])
    columns, width = len(CLASSES), len(NAMES)
    shapes = {
        "table": (rows, hidden),
        "table_scale": (hidden,),
        "dense": (width, hidden),
        "mean": (width,),
        "scale": (width,),
        "bias": (hidden,),
        "out": (hidden, columns),
        "out_bias": (columns,),
        "calibration": (CALIBRATION_ROWS, columns),
        "seen": (2**spec.seen_bits // 8,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ConfigError(
                f"{file}: the learned model is damaged: {name} has the wrong shape. "
                "Run `make train`."
            )
    cjk = about.get("thresholds_cjk") or {}  # earlier models have none
    if set(about["thresholds"]) != set(CLASSES) or set(cjk) not in (set(), set(CLASSES)):
        raise ConfigError(
            f"{file}: the learned model has no threshold for every label. Run `make train`."
        )
    table = _on_cache_lines((rows + 1, hidden))
    table[0], table[1:] = 0, arrays["table"]
    return Model(
        spec=spec,
        row_of=rows_of(arrays["kept"], spec.bits),
        table=table,
        **{name: arrays[name] for name in _WEIGHTS[2:]},
        thresholds={str(k): float(v) for k, v in about["thresholds"].items()},
        limits={str(k): float(v) for k, v in about["limits"].items()},
        version=str(about["version"]),
        thresholds_cjk={str(k): float(v) for k, v in cjk.items()},
    )
