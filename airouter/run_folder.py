"""The temporary folder of one run of the server: its control file, and the metrics that its workers
share.

It is removed when the process that made it ends. After a SIGKILL nothing can do that, so each start
also removes what earlier runs of this user have left. A run that lives holds a lock in its folder.
"""

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

_PREFIX = "ai-router-"
_LOCK = "run.lock"


def make() -> Path:
    """A new folder (0700) that exists as long as this process."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked before it has its name: a sweep that finds it cannot take it for a dead run's. Forked
    # workers share the lock, which therefore lasts until the last of them has ended.
    fresh = folder / f".{_LOCK}"
    lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    fresh.rename(folder / _LOCK)
    maker = os.getpid()

    def at_exit() -> None:
        if os.getpid() == maker:  # a forked worker runs its parent's exit handlers, too
            remove(folder)

    atexit.register(at_exit)
    return folder


def remove(folder: Path) -> None:
    """Remove a run's folder; never raises."""
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # no folder of a run, or just removed
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
        except OSError:  # its run lives
            pass
        finally:
            os.close(lock)
