"""One run: Locust sends, a probe looks on, and what was kept of it is judged."""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
from rich.console import Console

from bench.environment import environment
from bench.result import write_json
from bench.router_process import ROOT
from bench.slo import RouterSlo
from bench.stand import Stand
from load import report
from load.client import read
from load.plan import PHASES_FILE, Phase, Setup, plan
from load.stand import QUEUE, SLOTS, Probe
from load.verdict import judge, stretches
from simulator.processes import end, free_port, printed, spawn

_SLACK_S = 75.0  # start-up, the last answers, the reports
_THREADS = 320  # the router's default
_KEPT_RUNS = 20
_OUTPUT = "locust.txt"
_STOP_S = 10
_DRAIN_S = 15  # users may finish what they are doing


def headless_run(target: Stand, slo: RouterSlo, args: Namespace, console: Console) -> int:
    """The exit status: 0 when all service levels were kept, 1 when not, 2 when there is nothing to
    judge, 130 when interrupted."""
    phases = plan(args.shape, args.seconds)
    folder = _folder(args.out, args.shape)
    seconds = sum(phase.seconds for phase in phases)
    what = "embedded simulator" if target.embedded else target.router.url
    say = partial(console.print, highlight=False, markup=False)
    say(
        f"{args.shape}: {seconds:.0f} s; 1× is {args.users:.0f} users with a turn every "
        f"{args.period:g} s; {what}; kept in {os.path.relpath(folder)}"
    )
    interrupted, over = 0.0, False
    setup = _setup(target, args, folder, phases)
    with _locust(target, setup, args.distributed) as process, Probe(target) as probe:
        try:
            process.wait(seconds + _SLACK_S)
            over = True
        except subprocess.TimeoutExpired:
            say("load: Locust did not end in time; it was stopped.")
        except KeyboardInterrupt:
            interrupted = time.monotonic()
    samples = read(sorted(folder.glob("samples-*.jsonl")))
    rows = map(orjson.loads, printed(folder / PHASES_FILE).splitlines())
    marks = [(row["phase"], row["at"]) for row in rows]  # when each phase began
    marks += [(marks[-1][0] + 1, interrupted)] if marks and interrupted else []
    found = stretches(phases, marks, samples, probe.looks)
    if not found and interrupted:
        say("load: interrupted before anything was measured.")
        return 130
    if not found:
        say(f"load: no phase was measured. Locust said:\n{printed(folder / _OUTPUT)[-2000:]}")
        return 2
    results = [report.traffic(stretch) for stretch in found if stretch.phase.name != "step"]
    results += [report.verdict(title, lines) for title, lines in judge(found, slo)]
    if any(stretch.phase.name == "step" for stretch in found):
        known = (SLOTS, QUEUE, _THREADS) if target.embedded else (None, None, None)
        results.append(report.knee_table(report.steps(found, slo), *known))
    for result in results:
        result.print(console)
    about = environment() | {"shape": args.shape, "users": args.users, "period": args.period}
    write_json(folder / "verdict.json", results, about | {"slo": slo.name}, complete=over)
    if interrupted:
        say("Interrupted: the tables hold what was measured until then.")
        return 130
    broken = sum(len(result.broken) for result in results)
    if broken:
        say(f"Verdict: {broken} service levels not kept.", style="bold red")
        return 1
    say("Verdict: every service level that could be judged was kept.", style="bold green")
    return 0


def interface(target: Stand, args: Namespace, console: Console) -> int:
    folder, port = _folder(args.out, "ui"), args.ui_port
    said = f"Locust: http://127.0.0.1:{port} (1× is {args.users:.0f} users; Ctrl-C ends it)"
    console.print(said, highlight=False)
    with _locust(target, _setup(target, args, folder, []), ui_port=port) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            return 0
        console.print(printed(folder / _OUTPUT)[-2000:], highlight=False, markup=False)
    return 1


def _setup(target: Stand, args: Namespace, folder: Path, phases: list[Phase]) -> Setup:
    return Setup(
        target.router.url, folder, target.virtual_model, args.embedding_model, args.users,
        args.period, phases=tuple(phases), test=args.test
    )  # fmt: skip


@contextmanager
def _locust(
    target: Stand, setup: Setup, workers: int = 0, ui_port: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Locust, its files in the folder: without its web interface unless that has a port.

    Args:
        workers: above 0, a master and so many processes that send.
    """
    command = [
        sys.executable, "-m", "locust", "-f", "load/users.py", "--loglevel", "WARNING",
        "--stop-timeout", str(_DRAIN_S),
    ]  # fmt: skip
    if ui_port is not None:
        command += f"--web-host 127.0.0.1 --web-port {ui_port} --class-picker".split()
    else:
        command += ["--headless", "--only-summary", "--exit-code-on-error", "0"]
        command += ["--csv", f"{setup.folder}/stats", "--html", f"{setup.folder}/report.html"]
    if workers:
        at, port = "127.0.0.1", free_port()
        command += f"--processes {workers} --expect-workers-max-wait 30".split()
        command += f"--master-bind-host {at} --master-bind-port {port}".split()
        command += f"--master-host {at} --master-port {port}".split()
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")
    }
    environ = inherited | setup.environ(target.router.api_key)
    process = spawn(command, setup.folder / _OUTPUT, cwd=ROOT, env=environ)
    try:
        yield process
    finally:
        end(process, signal.SIGTERM, limit=_STOP_S)


def _folder(out: Path, shape: str) -> Path:
    """A new one for this run; of older ones the last few stay."""
    out.mkdir(parents=True, exist_ok=True)
    older = sorted(path.parent for path in out.glob(f"*/{PHASES_FILE}"))
    for path in older[: max(0, len(older) - _KEPT_RUNS + 1)]:
        shutil.rmtree(path)
    folder = out / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{shape}-{os.getpid()}"
    folder.mkdir()
    return folder
