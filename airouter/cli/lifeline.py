"""A child that outlives a killed parent would keep its port; on Linux the kernel can prevent that."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """A `preexec_fn` after which the child gets SIGTERM when `parent` dies, however it dies; None where that is unknown."""
    if sys.platform != "linux":
        return None
    prctl = None
    with contextlib.suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None).prctl  # looked up before the fork, called after it
    if prctl is None:
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask
