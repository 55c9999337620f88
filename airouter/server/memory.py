"""What the process does with memory that it has used."""

import ctypes
import sys
from contextlib import suppress

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD in glibc's malloc.h
_LARGE = 1_000_000  # bytes
_TOP = 8_000_000  # bytes that may stay free at the end of the heap


def give_back_large_blocks() -> None:
    """Have the memory of a large request return to the system when it is freed. By default glibc
    raises its limit to the largest block that was ever freed, up to 32 MB, and keeps those below.
    Other systems are left as they are."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP, _LARGE)
            libc.mallopt(_TRIM, _TOP)
