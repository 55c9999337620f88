"""File descriptors: each client and each call to a backend takes one, and the usual soft limit
(1,024; 256 on a Mac) is a matter of habit, not of need."""

import resource
from contextlib import suppress

_ENOUGH = 65_536
_MAC = 10_240  # the most that macOS allows although its hard limit says "unlimited"
_OWN = 64  # files, listeners, pipes, probes


def raise_limit() -> int:
    """Raise this process's soft limit towards its hard one; the limit as it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (_ENOUGH, _MAC):
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def affordable_threads(wanted: int, limit: int) -> int:
    """How many requests at once a worker can serve: each may need its client's connection and a
    backend's, and as many clients again may be idle."""
    return max(4, min(wanted, (limit - _OWN) // 3))
