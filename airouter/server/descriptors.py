"""File descriptors: each client connection and each backend call needs one, so the usual soft limit
(1,024; 256 on macOS) is raised."""

import resource
from contextlib import suppress

_ENOUGH = 65_536
_MAC = 10_240  # the maximum on macOS, although its hard limit is "unlimited"
_OWN = 64  # reserved for files, listeners, pipes, probes


def raise_limit() -> int:
    """Raise the soft limit of this process towards its hard limit; returns the resulting limit."""
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


def affordable_connections(wanted: int, limit: int) -> int:
    """The number of client connections that a worker can hold with `limit` file descriptors: a
    connection with a request needs another one or two, for its calls to backends."""
    return max(16, min(wanted, (limit - _OWN) // 2))
