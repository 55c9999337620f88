"""Child processes of tests and benchmarks: how they end with their parent, and how they and theirs
are ended."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self


class Startable:
    """`with` starts it unless it runs, and stops it."""

    _process: "subprocess.Popen[Any] | None" = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        raise NotImplementedError

    def stop(self) -> int | None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


_PORTS = 20_000, 32_000  # Linux gives away 32768 and above, macOS 49152


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now. It is below those that the system gives
    away by itself, so that no connection or listener of another process takes it meanwhile."""
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", random.randint(*_PORTS)))
            return int(sock.getsockname()[1])


def die_with_parent() -> None:
    """In the child: should its parent be killed, it goes too (Linux)."""
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def children(pid: int) -> list[int]:
    """The processes whose parent is this one; [] where /proc is missing."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def spawn(
    command: Sequence[str | Path], output: Path, *, cwd: Path, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a program that ends with this process, with what it prints added to a file."""
    with output.open("ab") as file:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )


def printed(output: Path) -> str:
    """What a child wrote to this file so far."""
    return output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""


def end(process: "subprocess.Popen[Any]", *numbers: int, limit: float = 8.0) -> int:
    """End a child by these signals, `limit` seconds for each, then by force, and what it left
    behind.

    Returns:
        Its exit status.
    """
    known = {pid: _born(pid) for pid in family(process.pid)}
    for number in numbers:
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(limit)
    if process.poll() is None:
        process.kill()
    for pid, born in known.items():  # never another process that got the number since
        if born is not None and _born(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return process.wait(limit)


def _born(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
