"""Starts Locust: one process, or a master with workers; ends all of them by their ids."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.router_process import ROOT
from simulator.processes import end, free_port, printed, spawn

_STOP_S = 10
_DRAIN_S = 15  # users may finish what they are at
_COMMAND = (
    sys.executable, "-m", "locust", "-f", "load/locustfile.py", "--loglevel", "WARNING",
    "--stop-timeout", str(_DRAIN_S),
)  # fmt: skip


class Generator:
    """The processes of one run. The first is the one whose end is the end of the run."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._output, self._environ = folder / "locust.txt", environ
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, options: str, *more: str) -> None:
        command = [*_COMMAND, *options.split(), *more]
        self.started.append(spawn(command, self._output, cwd=ROOT, env=self._environ))

    def wait(self, limit: float) -> bool:
        """Until the run is over; False when it is not within so many seconds."""
        until = time.monotonic() + limit
        try:
            for process in self.started:
                process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def printed(self) -> str:
        return printed(self._output)


@contextmanager
def locust(
    folder: Path, environ: Mapping[str, str], workers: int = 0, ui_port: int | None = None
) -> Iterator[Generator]:
    """Locust, its files in `folder`: without its web interface unless that has a port.

    Args:
        workers: above 0, a master and so many processes that send.
    """
    generator = Generator(folder, environ)
    headless = "--headless --only-summary --exit-code-on-error 0"
    reports = ("--csv", str(folder / "stats"), "--html", str(folder / "report.html"))
    try:
        if ui_port is not None:
            generator.start(f"--web-host 127.0.0.1 --web-port {ui_port} --class-picker")
        elif not workers:
            generator.start(headless, *reports)
        else:
            at, port = "127.0.0.1", free_port()
            crowd = f"--expect-workers {workers} --expect-workers-max-wait 30"
            master = f"--master --master-bind-host {at} --master-bind-port {port} {crowd}"
            generator.start(f"{headless} {master}", *reports)
            for _ in range(workers):
                generator.start(f"--worker --master-host {at} --master-port {port}")
        yield generator
    finally:
        for process in generator.started:
            process.terminate()
        for process in generator.started:
            end(process, signal.SIGTERM, limit=_STOP_S)
