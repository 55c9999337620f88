"""A gateway in the comparison: how it is started, where it listens, which processes it is, how it
is stopped."""

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.client import Connection, Endpoint, Failure
from bench.peers.install import NotInstalled, last_line
from bench.prompts import body
from simulator.processes import children, end, family, spawn


class Contender(ABC):
    """`start` returns the seconds until the first answer; afterwards `endpoint`, `model` and `pids`
    are known."""

    name: str
    start_limit = 30.0

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.model = self.version = self.settings = ""
        self.endpoint: Endpoint | None = None
        self.cores: frozenset[int] | None = None  # where it may run; None: anywhere

    @property
    def key(self) -> str:
        return self.name if self.workers == 1 else f"{self.name} ×{self.workers}"

    def chat(self, text: str, *, close: bool = False, stream: bool = False) -> bytes:
        """A request as it wants it."""
        assert self.endpoint is not None
        return self.endpoint.chat(body(text, self.model, stream=stream), close=close)

    def start(self, folder: Path) -> float:
        """Start it and wait for its first answer.

        Raises:
            NotInstalled: it does not come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with _on(self.cores):
            begun = time.perf_counter()
            self.endpoint = self._launch(folder)
            problem = "no answer"
            while (waited := time.perf_counter() - begun) < self.start_limit:
                if (ended := self._ended()) is not None:
                    raise NotInstalled(f"{self.key}: it ended at once: {ended}")
                try:
                    with Connection(self.endpoint, timeout=self.start_limit - waited) as connection:
                        connection.checked(self.chat("Hello."))
                    return time.perf_counter() - begun
                except Failure as failure:
                    problem = str(failure)
                    time.sleep(0.02)
        self.stop()
        raise NotInstalled(f"{self.key}: no answer within {self.start_limit:g} s: {problem}")

    @abstractmethod
    def _launch(self, folder: Path) -> Endpoint:
        """Start its processes; they need not listen yet."""

    def _ended(self) -> str | None:
        """Why it is no longer running; None while it is."""
        return None

    def stop(self) -> None:
        """End what `start` has started; harmless when nothing runs."""
        return

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return []

    @property
    def worker_pids(self) -> list[int]:
        """Those that serve requests: the leaves of its process tree."""
        return [pid for pid in self.pids if not children(pid)]


class Program(Contender):
    """A contender that is a program of another project."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()

    def run(self, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> None:
        """Start the program with an environment of its own: nothing of ours gets in but PATH, its
        home is `folder`."""
        self._log = folder / "output.txt"
        self._log.unlink(missing_ok=True)
        path = os.environ.get("PATH", "/usr/bin:/bin")
        environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **env}
        self._process = spawn(command, self._log, cwd=folder, env=environ)

    def _ended(self) -> str | None:
        running = self._process is None or self._process.poll() is None
        return None if running else last_line(self._log)

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else family(self._process.pid)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, signal.SIGTERM)


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
