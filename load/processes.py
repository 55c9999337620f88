"""Starts Locust: one process, or a master with workers; ends all of them by their ids."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.router_process import ROOT, free_port

_STOP_S = 10
_DRAIN_S = 15  # users may finish what they are at
_COMMAND = (
    sys.executable,
    "-m",
    "locust",
    "-f",
    "load/locustfile.py",
    "--loglevel",
    "WARNING",
    "--stop-timeout",
    str(_DRAIN_S),
)


class Generator:
    """The processes of one run. `first` is the one whose end is the end of the run."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.output = folder / "locust.txt"
        self._environ = dict(environ)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [*_COMMAND, *options],
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    @property
    def first(self) -> subprocess.Popen[bytes]:
        return self._started[0]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._started]

    def wait(self, limit: float) -> bool:
        """Until the run is over; False when it is not within so many seconds."""
        until = time.monotonic() + limit
        for process in self._started:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True

    def stop(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            if process.poll() is None:
                process.kill()
                process.wait(_STOP_S)

    def printed(self) -> str:
        return (
            self.output.read_text(encoding="utf-8", errors="replace")
            if self.output.exists()
            else ""
        )


@contextmanager
def headless(folder: Path, environ: Mapping[str, str], workers: int) -> Iterator[Generator]:
    """Locust without its web interface; with `workers` above 0 a master and so many processes that send."""
    reports = (
        "--headless",
        "--csv",
        str(folder / "stats"),
        "--html",
        str(folder / "report.html"),
        "--only-summary",
        "--exit-code-on-error",
        "0",
    )
    generator = Generator(folder, environ)
    try:
        if workers:
            port = str(free_port())
            crowd = ("--expect-workers", str(workers), "--expect-workers-max-wait", "30")
            generator.start(
                *reports,
                "--master",
                "--master-bind-host",
                "127.0.0.1",
                "--master-bind-port",
                port,
                *crowd,
            )
            for _ in range(workers):
                generator.start("--worker", "--master-host", "127.0.0.1", "--master-port", port)
        else:
            generator.start(*reports)
        yield generator
    finally:
        generator.stop()


@contextmanager
def web_interface(folder: Path, environ: Mapping[str, str], port: int) -> Iterator[Generator]:
    """Locust with its web interface on 127.0.0.1."""
    generator = Generator(folder, environ)
    try:
        generator.start("--web-host", "127.0.0.1", "--web-port", str(port), "--class-picker")
        yield generator
    finally:
        generator.stop()
