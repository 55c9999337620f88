"""What the process does with memory that it has used."""

import ctypes
import sys
from contextlib import suppress

# M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX in glibc's malloc.h
_TRIM, _MMAP, _ARENAS = -1, -3, -8
_LARGE = 1_000_000  # bytes
_TOP = 8_000_000  # bytes that may stay free at the end of the heap
_HEAPS = 2


def keep_memory_small() -> None:
    """Have the memory of a large request return to the system when it is freed. By default glibc
    raises its limit to the largest block that was ever freed, up to 32 MB, and keeps those below;
    and it gives each thread a heap of its own, up to eight per core, of which each keeps what a
    large request once needed. Other systems are left as they are."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP, _LARGE)
            libc.mallopt(_TRIM, _TOP)
            libc.mallopt(_ARENAS, _HEAPS)
