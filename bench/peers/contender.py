"""A gateway in the comparison: how it is started, where it listens, which processes it is, how it is stopped."""

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.client import Connection, Endpoint, Failure
from bench.environment import children
from bench.peers.install import NotInstalled, last_line
from bench.prompts import body
from bench.router_process import die_with_parent

_STOP_LIMIT_S = 8.0


class Contender(ABC):
    """`start` returns the seconds until the first answer; afterwards `endpoint`, `model` and `pids` are known."""

    name: str
    start_limit = 30.0

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.model = ""
        self.version = ""
        self.settings = ""
        self.endpoint: Endpoint | None = None
        self.cores: frozenset[int] | None = None  # where it may run; None: anywhere

    @property
    def key(self) -> str:
        return self.name if self.workers == 1 else f"{self.name} ×{self.workers}"

    def start(self, folder: Path) -> float:
        """Start it and wait for its first answer.

        Raises:
            NotInstalled: it does not come up.
        """
        with _on(self.cores):
            begun = time.perf_counter()
            self.endpoint = self._launch(folder)
            problem = "no answer"
            while (waited := time.perf_counter() - begun) < self.start_limit:
                if (ended := self._ended()) is not None:
                    raise NotInstalled(f"{self.key}: it ended at once: {ended}")
                try:
                    with Connection(self.endpoint, timeout=self.start_limit - waited) as connection:
                        connection.chat(body("Hello.", self.model))
                    return time.perf_counter() - begun
                except Failure as failure:
                    problem = str(failure)
                    time.sleep(0.02)
        self.stop()
        raise NotInstalled(f"{self.key}: no answer within {self.start_limit:g} s: {problem}")

    @abstractmethod
    def _launch(self, folder: Path) -> Endpoint:
        """Start its processes; they need not listen yet."""

    @abstractmethod
    def _ended(self) -> str | None:
        """Why it is no longer running; None while it is."""

    @abstractmethod
    def stop(self) -> None:
        """End what `start` has started; harmless when nothing runs."""

    @property
    @abstractmethod
    def pids(self) -> list[int]:
        """All its processes."""

    @property
    def worker_pids(self) -> list[int]:
        """Those that serve requests: the leaves of its process tree."""
        return [pid for pid in self.pids if not children(pid)]


class Program(Contender):
    """A contender that is a program of somebody else."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def run(self, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> None:
        """Start the program with an environment of its own: nothing of ours gets in but PATH, its home is `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "output.txt"
        environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **env,
        }
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    def _ended(self) -> str | None:
        if self._process is None or self._process.poll() is None:
            return None
        return (
            last_line(self._log) if self._log is not None else f"status {self._process.returncode}"
        )

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else family(self._process.pid)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        known = {pid: _born(pid) for pid in family(process.pid)}
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_LIMIT_S)
        for (
            pid,
            born,
        ) in (
            known.items()
        ):  # workers that did not follow; never a stranger who got the number since
            if born is not None and _born(pid) == born:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait(_STOP_LIMIT_S)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def _born(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@contextlib.contextmanager
def _on(cores: frozenset[int] | None) -> Iterator[None]:
    """What is started meanwhile runs on these cores only."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
