"""One run: Locust sends, a probe looks on, and what was kept of it is judged."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console

from bench.environment import environment
from bench.result import Result, write_json
from bench.slo import RouterSlo
from load import report
from load.knee import steps
from load.plan import Phase, plan
from load.probe import Probe
from load.processes import headless, web_interface
from load.samples import read
from load.setup import PHASES_FILE, Setup
from load.stand import QUEUE, SLOTS, Target
from load.verdict import judge, stretches

_SLACK_S = 75.0  # start-up, the last answers, the reports
_THREADS = 320  # the router's default
_KEPT_RUNS = 20


@dataclass(frozen=True, slots=True)
class Options:
    shape: str
    seconds: float | None
    users: float
    period: float
    distributed: int
    out: Path


def headless_run(target: Target, slo: RouterSlo, options: Options, console: Console) -> int:
    """The exit status: 0 when all service levels were kept, 1 when not, 2 when there is nothing to judge, 130 when interrupted."""
    phases = plan(options.shape, options.seconds)
    folder = _folder(options.out, options.shape)
    seconds = sum(phase.seconds for phase in phases)
    console.print(
        f"{options.shape}: {seconds:.0f} s; 1× is {options.users:.0f} users with a turn every {options.period:g} s; "
        f"{'embedded simulator' if target.embedded else target.url}; kept in {_shown(folder)}",
        highlight=False,
    )
    interrupted, over = 0.0, False
    with (
        headless(
            folder, _environ(target, options, folder, phases), options.distributed
        ) as generator,
        Probe(target) as probe,
    ):
        try:
            over = generator.wait(seconds + _SLACK_S)
        except KeyboardInterrupt:
            interrupted = time.monotonic()
        printed = generator.printed
    if not over and not interrupted:
        console.print("load: Locust did not end in time; it was stopped.", highlight=False)
    found = stretches(
        phases,
        _marks(folder, interrupted),
        read(sorted(folder.glob("samples-*.jsonl"))),
        probe.looks,
    )
    if not found and interrupted:
        console.print("load: interrupted before anything was measured.", highlight=False)
        return 130
    if not found:
        console.print(
            f"load: no phase was measured. Locust said:\n{printed()[-2000:]}",
            highlight=False,
            markup=False,
        )
        return 2
    tables = judge(found, slo)
    results = [report.traffic(stretch) for stretch in found if stretch.phase.name != "step"]
    results += [report.verdict(title, lines) for title, lines in tables]
    if any(stretch.phase.name == "step" for stretch in found):
        known = (SLOTS, QUEUE, _THREADS) if target.embedded else (None, None, None)
        results.append(report.knee_table(steps(found, slo), *known))
    for result in results:
        result.print(console)
    about = environment() | {
        "shape": options.shape,
        "users": options.users,
        "period": options.period,
        "slo": slo.name,
    }
    write_json(folder / "verdict.json", results, about, complete=over)
    if interrupted:
        console.print("Interrupted: the tables hold what was measured until then.")
        return 130
    return _close(results, console)


def _close(results: list[Result], console: Console) -> int:
    broken = [promise for result in results for promise in result.broken]
    if broken:
        text = f"Verdict: {len(broken)} service level{'s' if len(broken) > 1 else ''} not kept."
    else:
        text = "Verdict: every service level that could be judged was kept."
    console.print(text, style="bold red" if broken else "bold green", highlight=False)
    return 1 if broken else 0


def interface(target: Target, options: Options, port: int, console: Console) -> int:
    """Until Ctrl-C."""
    folder = _folder(options.out, "ui")
    console.print(
        f"Locust: http://127.0.0.1:{port} (1× is {options.users:.0f} users; Ctrl-C ends it)",
        highlight=False,
    )
    with web_interface(folder, _environ(target, options, folder, []), port) as generator:
        try:
            generator.first.wait()
        except KeyboardInterrupt:
            return 0
        console.print(generator.printed()[-2000:], highlight=False, markup=False)
    return 1


def _environ(
    target: Target, options: Options, folder: Path, phases: list[Phase]
) -> Mapping[str, str]:
    setup = Setup(
        target.url, folder, target.virtual_model, target.embedding_model, options.users, options.period, phases=tuple(phases)
    )  # fmt: skip
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")
    }
    return inherited | setup.environ(target.api_key)


def _marks(folder: Path, interrupted: float = 0.0) -> list[tuple[int, float]]:
    """When each phase began; an interrupt ends the one that it came in."""
    path = folder / PHASES_FILE
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    marks = [(row["phase"], row["at"]) for row in rows]
    return [*marks, (marks[-1][0] + 1, interrupted)] if marks and interrupted else marks


def _folder(out: Path, shape: str) -> Path:
    """A new one for this run; of older ones the last few stay."""
    out.mkdir(parents=True, exist_ok=True)
    older = sorted(
        path for path in out.iterdir() if path.is_dir() and (path / PHASES_FILE).exists()
    )
    for path in older[: max(0, len(older) - _KEPT_RUNS + 1)]:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%d-%H%M%S")
    folder = out / f"{stamp}-{shape}-{os.getpid()}"
    folder.mkdir()
    return folder


def _shown(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
