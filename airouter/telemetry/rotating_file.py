"""A log file that several processes append to and rotate."""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from airouter.telemetry.background import after_fork


class RotatingFile:
    """A log file that several processes append to and rotate: `app.log`, `app.log.1`, … (mode
    0600).

    Every append holds an exclusive lock on `<path>.lock`, so that no line is torn, or lost to a
    rotation by another process.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self._path, self._lock_path = str(path), f"{path}.lock"
        self._max_bytes, self._backups = max_bytes, backups
        self._fd = self._lock_fd = -1
        # A descriptor inherited from the parent shares its lock, which would not exclude the
        # parent.
        after_fork(self.release)

    def append(self, lines: Sequence[bytes]) -> None:
        """Write complete lines (with newlines). After an OSError, no partial line remains."""
        while True:
            self._lock_fd = self._current(self._lock_fd, self._lock_path)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            if self._same(self._lock_fd, self._lock_path):
                break  # otherwise the lock file was replaced while waiting: lock the new one
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        try:
            self._fd = self._current(self._fd, self._path)
            self._write_rotating(lines)
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def release(self) -> None:
        """Close the descriptors; the next append opens them again."""
        for fd in (self._fd, self._lock_fd):
            with suppress(OSError):
                os.close(fd)
        self._fd = self._lock_fd = -1

    def _write_rotating(self, lines: Sequence[bytes]) -> None:
        size = os.fstat(self._fd).st_size
        chunk: list[bytes] = []
        for line in lines:
            if size and size + len(line) > self._max_bytes:
                self._write(b"".join(chunk))
                self._rotate()
                chunk, size = [], 0
            chunk.append(line)
            size += len(line)
        self._write(b"".join(chunk))

    def _write(self, data: bytes) -> None:
        before, rest = os.fstat(self._fd).st_size, memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, before)
            raise

    def _rotate(self) -> None:
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, self._backups + 1))]
        if self._backups <= 0:
            os.ftruncate(self._fd, 0)
            return
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        self._fd = self._current(self._fd, self._path)

    @staticmethod
    def _same(fd: int, path: str) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(path))
        except OSError:
            return False

    def _current(self, fd: int, path: str) -> int:
        """A descriptor of the file currently at this path, created if missing: `fd`, or a new one
        that replaces it."""
        if fd >= 0 and self._same(fd, path):
            return fd
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            new = os.open(path, flags | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            # Follow a symbolic link, e.g. to a device or another disk, but keep the target's mode.
            new = os.open(path, flags, 0o600)
        else:
            with suppress(OSError):
                status = os.fstat(new)
                ours = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
                if ours and stat.S_IMODE(status.st_mode) != 0o600:
                    os.fchmod(new, 0o600)
        if fd >= 0:
            os.close(fd)
        return new
