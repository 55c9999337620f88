"""One worker does what is to be done once: the one that holds the lock."""

import fcntl
import os
from pathlib import Path


class Leader:
    """Mutable state: the lock. The system frees it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._pid = 0

    def try_lead(self) -> bool:
        """Whether this process leads, from now on at the latest."""
        if self._fd >= 0 and self._pid == os.getpid():
            if self._is_there():
                return True
            self.close()  # the file was deleted: another process may hold its successor
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd, self._pid = fd, os.getpid()
        return True

    def _is_there(self) -> bool:
        try:
            there, ours = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)

    def close(self) -> None:
        """Let another one lead."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._pid == os.getpid():
            os.close(fd)
