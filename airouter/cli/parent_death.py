"""Ends child processes when their parent dies (Linux), so that they do not keep their ports."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """A `preexec_fn` that makes the kernel send the child SIGTERM when `parent` dies.

    Args:
        parent: process id.

    Returns:
        None on platforms without support.
    """
    if sys.platform != "linux":
        return None
    prctl = None
    with contextlib.suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None).prctl  # looked up before the fork, called after it
    if prctl is None:
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return ask
