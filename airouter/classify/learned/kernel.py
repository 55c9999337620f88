"""The learned model's prediction in compiled code, where the machine has a C compiler: a third of
the time of numpy's many small calls, or less.

`kernel.c` is compiled at the first use, and the library kept in `__pycache__` beside the .pyc
files, which need the same write permission. numpy computes the prediction if there is no compiler,
if the folder cannot be written, or if the library's result differs on a sample.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airouter.classify.learned.text_features import (
    SCRIPT_OF,
    SEPARATES,
    SYMBOL,
    Counts,
    dense_of,
    encode,
    texts_of,
)
from airouter.classify.learned.text_model import DENSE_LIMIT, Model, Prediction
from airouter.domain.types import Features

Predict = Callable[[Features], Prediction]

_SOURCE = Path(__file__).with_suffix(".c")
_FLAGS = ("-O3", "-shared", "-fPIC")
_FOLDER = _SOURCE.parent / "__pycache__"
_COMPILE_SECONDS = 60
_POINTERS = (
    "separates", "seen", "kept", "table", "table_scale", "dense", "mean", "scale", "bias", "out",
    "out_bias", "calibration",
)  # fmt: skip
_KINDS = {"separates": np.bool_, "seen": np.uint8, "kept": np.uint64, "table": np.int8}
_SAMPLE = Features(
    ask="What did the café's 3 owners say? ¿Qué dijeron?", previous=(("user", "Hi there"),),
    system="You help.", last_role="user", last_text="", n_messages=3, n_user=2, total_chars=60,
    has_tools=False, has_images=False, task=None,
)  # fmt: skip


class _Model(ctypes.Structure):
    """`Model` in kernel.c. `arrays`: what its pointers point to."""

    arrays: dict[str, NDArray[Any]]

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("bits", "seen_bits", "longest", "ngrams")),
        *((name, ctypes.c_int32) for name in ("dense_size", "separates_size")),
        ("weights", ctypes.c_float * 5),
        ("dense_limit", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class _Prediction(ctypes.Structure):
    """`Prediction` in kernel.c."""

    _fields_ = (("p", ctypes.c_double * 4), ("unseen_ratio", ctypes.c_double))


def predictor(model: Model) -> Predict:
    """The fastest way to predict that works here. It compiles at the first call on a machine, which
    takes about a second."""

    def predict(features: Features) -> Prediction:
        return model.predict(encode(features, model.spec))

    library = compiled(len(model.bias))
    if library is None:
        return predict
    fast = _fast(model, library)
    same = np.allclose(fast(_SAMPLE).p, predict(_SAMPLE).p, rtol=0, atol=1e-5)
    return fast if same else predict


def compiled(hidden: int, folder: Path = _FOLDER) -> ctypes.PyDLL | None:
    """The library, compiled if it is not in the folder; None if that is impossible.

    Args:
        hidden: the model's number of hidden units.
    """
    flags = (*_FLAGS, f"-DHIDDEN={hidden}")
    try:
        made_of = f"{platform.machine()} {platform.libc_ver()} {flags}".encode()
        digest = hashlib.sha256(made_of + _SOURCE.read_bytes()).hexdigest()[:16]
        file = folder / f"kernel-{digest}.so"
        if not file.exists():
            _compile(file, flags)
        # PyDLL keeps the GIL: a call is shorter than getting it back may take.
        return ctypes.PyDLL(str(file))
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(file: Path, flags: tuple[str, ...]) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("cc")
    file.parent.mkdir(exist_ok=True)
    # Renamed when complete: other processes may do the same at the same time.
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        subprocess.run(
            (compiler, *flags, "-o", str(made), str(_SOURCE), "-lm"),
            check=True,
            capture_output=True,
            timeout=_COMPILE_SECONDS,
        )
        os.replace(made, file)


def _fast(model: Model, library: ctypes.PyDLL) -> Predict:
    spec = model.spec
    arrays = {
        "separates": SEPARATES,
        "kept": _kept(model.row_of),
        **{name: getattr(model, name) for name in _POINTERS if name not in ("separates", "kept")},
    }
    for name, array in arrays.items():
        arrays[name] = np.ascontiguousarray(array, _KINDS.get(name, np.float32))
    about = _Model(
        spec.bits, spec.seen_bits, max(spec.ngrams), sum(1 << n for n in spec.ngrams),
        len(model.mean), len(SEPARATES),
        (spec.char_weight, spec.word_weight, spec.head_weight, spec.before_weight,
         spec.system_weight),
        DENSE_LIMIT,
        *(arrays[name].ctypes.data for name in _POINTERS),
    )  # fmt: skip
    call = library.predict
    call.argtypes = (
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int,
        ctypes.c_char_p, ctypes.c_void_p,
    )  # fmt: skip
    about.arrays = arrays
    reference, byref = ctypes.byref(about), ctypes.byref
    floats, counts = struct.Struct(f"{len(model.mean)}f").pack, _counts_by(library)

    def predict(features: Features) -> Prediction:
        ask, before, frame = texts_of(features, spec)
        codes = f"{ask}{before}{frame}".encode("utf-32-le", "surrogatepass")
        found = _Prediction()
        if call(
            reference, codes, len(ask), len(before), len(frame),
            floats(*dense_of(features, counts)), byref(found),
        ):  # fmt: skip
            raise MemoryError
        return Prediction(tuple(found.p), found.unseen_ratio)

    return predict


def _counts_by(library: ctypes.PyDLL) -> Callable[[str], Counts]:
    count, size = library.count_scripts, len(SCRIPT_OF)
    pointer, text_type = ctypes.c_void_p, ctypes.c_char_p
    count.argtypes = pointer, ctypes.c_uint32, text_type, text_type, ctypes.c_int, pointer
    script_of, numbers = SCRIPT_OF.ctypes.data, ctypes.c_int32 * (SYMBOL + 1)

    def counts(text: str) -> Counts:
        lower = text.lower()
        codes = text.encode("utf-32-le", "surrogatepass")
        # Where lower case has more characters, upper-case ones are not counted.
        small = codes if len(lower) != len(text) else lower.encode("utf-32-le", "surrogatepass")
        found = numbers()
        upper = count(script_of, size, codes, small, len(text), found)
        return upper, found[1:SYMBOL], found[SYMBOL]

    return counts


def _kept(row_of: NDArray[np.int32]) -> NDArray[np.uint64]:
    """`Model.row_of` in a sixteenth of its size, so that it stays in the processor's cache. For
    each 32 buckets: the row of the first that has one (upper half), and a bit for each."""
    bits = np.packbits(row_of > 0, bitorder="little").view(np.uint32).astype(np.uint64)
    counts = np.bitwise_count(bits).astype(np.uint64)
    return (np.cumsum(counts) - counts + np.uint64(1)) << np.uint64(32) | bits
