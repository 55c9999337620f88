"""The temporary directory of one run of the server: the control file, and metrics shared by
workers.

It is removed when the process that created it exits. A SIGKILL prevents this, so each start also
removes directories of this user's earlier runs. A live run holds a lock in its directory.
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
    """Create a directory (mode 0700) that is removed when this process exits."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked before it gets its name, so that a concurrent sweep cannot mistake it for that of a
    # dead run. Forked workers share the lock, so it is held until the last of them exits.
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
    """Remove the directory of a run; never raises."""
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # not the directory of a run, or just removed
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
        except OSError:  # locked by a live run
            pass
        finally:
            os.close(lock)
