"""`./Benchmark peers`: everything in its order, within a known time; whatever was started is stopped at the end."""

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from bench import prompts
from bench.peers import leave, load, single
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.peers.gateways import AiRouter, Direct, LiteLLM, Nginx, Portkey
from bench.peers.install import DEFAULT_SCRATCH, Installed, NotInstalled, install
from bench.peers.table import tables
from bench.result import Result
from bench.sampling import Sampler
from bench.stand import scratch
from simulator.testing import Simulator

NAMES = ("nginx", "portkey", "litellm", "ai-router")
_TITLES = {"nginx": "nginx", "portkey": "Portkey", "litellm": "LiteLLM", "ai-router": "ai-router"}
Build = Callable[[Simulator, Installed, int], list[Contender]]
_BUILDERS: dict[str, Build] = {
    "nginx": lambda simulator, installed, _streams: [Nginx(simulator, installed)],
    "portkey": lambda simulator, installed, _streams: [Portkey(simulator, installed)],
    "litellm": lambda simulator, installed, _streams: [
        LiteLLM(simulator, installed),
        LiteLLM(simulator, installed, 2),
    ],
}


class Plan:
    """How much of everything: a full run takes about eight minutes once the peers are installed."""

    def __init__(self, args: argparse.Namespace) -> None:
        quick: bool = args.quick
        self.rounds: int = args.rounds or (1 if quick else 3)
        self.streams: int = args.streams or (40 if quick else 500)
        self.whole_s, self.first_s = (2.4, 1.5) if quick else (15.0, 9.0)
        self.load_s, self.warm_up_s = (1.0, 0.3) if quick else (4.0, 1.0)
        self.chunks = 20 if quick else 100
        self.stream_rounds = min(self.rounds, 2)
        self.leaves = 2 if quick else 5

    def expected(self, contenders: int) -> float:
        each = self.load_s + self.warm_up_s
        waves = self.stream_rounds * contenders * (self.chunks / load.STREAM_TPS + 4)
        singles = self.rounds * (self.whole_s + self.first_s)
        return (
            40 + singles + self.rounds * (contenders + 1) * each + waves + contenders * self.leaves
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        metavar="NAMES",
        type=_names,
        default=NAMES,
        help=f"which to compare, of {','.join(NAMES)}",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        choices=range(1, 21),
        metavar="N",
        help="rounds over all of them (default 3)",
    )
    parser.add_argument(
        "--streams",
        type=int,
        choices=range(1, 2001),
        metavar="N",
        help="streams at once (default 500)",
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        default=DEFAULT_SCRATCH,
        metavar="DIR",
        help=f"where peers are installed ({DEFAULT_SCRATCH})",
    )
    parser.add_argument(
        "--pin", action="store_true", help="keep every one-worker gateway on one core, the last"
    )


def _names(text: str) -> tuple[str, ...]:
    chosen = tuple(
        name for name in NAMES if name in {part.strip().lower() for part in text.split(",")}
    )
    if not chosen or len(chosen) != len({part for part in text.split(",") if part.strip()}):
        raise argparse.ArgumentTypeError(f"must be of {', '.join(NAMES)}")
    return chosen


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Install, start, measure in rounds, stop."""
    plan = Plan(args)
    absent: dict[str, str] = {}
    installed: dict[str, Installed] = {}
    try:
        for name in args.only:
            if name in _BUILDERS:
                try:
                    installed[name] = install(name, args.scratch, sampler.meter.say)
                except NotInstalled as why:
                    absent[_TITLES[name]] = str(why).partition(": ")[2] or str(why)
    except KeyboardInterrupt:
        sampler.interrupted = True
        return []
    with ExitStack() as stack:
        _more_files()
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="ai-router-peers-", dir=scratch(), ignore_cleanup_errors=True
                )
            )
        )
        simulator = stack.enter_context(
            Simulator(profile="fast", roles=("router", "primary", "xai"))
        )
        contenders: list[Contender] = [Direct(simulator)]
        for name, found in installed.items():
            contenders += _BUILDERS[name](simulator, found, plan.streams)
        if "ai-router" in args.only:
            contenders += [
                AiRouter(simulator, 1, plan.streams),
                AiRouter(simulator, 2, plan.streams),
            ]
        if args.pin:
            last = max(os.sched_getaffinity(0))
            for contender in contenders:
                contender.cores = frozenset({last}) if contender.workers == 1 else None
        return compare(
            contenders,
            simulator,
            sampler,
            plan,
            folder,
            stack,
            absent,
            "one core each" if args.pin else "each as it is set up",
        )


def compare(
    contenders: list[Contender],
    simulator: Simulator,
    sampler: Sampler,
    plan: Plan,
    folder: Path,
    stack: ExitStack,
    absent: dict[str, str],
    pinning: str,
) -> list[Result]:
    """The measurements themselves. An interrupt keeps what there is until then."""
    findings = Findings()
    sampler.meter.start("peers", plan.expected(len(contenders)))
    try:
        for contender in contenders:
            stack.callback(contender.stop)
            sampler.meter.row(f"start: {contender.key}", 5)
            _start(findings, contender, folder, again=contender.workers == 1 and plan.rounds > 1)
        text, decided = _text(contenders)
        ones = [
            contender
            for contender in contenders
            if contender.workers == 1 and contender.endpoint is not None
        ]
        for contender in load.rotated(contenders, 0, sampler):
            sampler.meter.row(f"warm-up: {contender.key}", 1.5)
            load.warm(contender, text)
        for contender in load.rotated(contenders, 0, sampler):
            load.idle_memory(findings, contender)
        for turn in range(plan.rounds):
            if sampler.interrupted:
                break
            _round(findings, contenders, ones, simulator, sampler, plan, text, turn)
        for contender in load.rotated(ones, 0, sampler):
            sampler.meter.row(f"disconnects: {contender.key}", plan.leaves)
            leave.measure(findings, contender, text, simulator, plan.leaves)
    except KeyboardInterrupt:
        sampler.interrupted = True
    load.over_direct(findings, contenders)
    rounds = f"{plan.rounds} round{'s' if plan.rounds > 1 else ''}"
    title = f"ai-router among its peers: {rounds}, interleaved, {plan.streams} streams, {pinning} [fast]"
    results = tables(
        findings,
        [contender for contender in contenders if contender.key not in absent],
        absent,
        title,
    )
    results[0].notes += [
        "added: less the backend's own time in the same pair (streams: in the same round); requests/s: median of the rounds",
        f"streams: {plan.streams} at once, {plan.chunks} chunks each, {load.STREAM_TPS:g} a second",
        "nginx and Portkey are one process, in both lines about workers",
        f"disconnect: from the client's close until the backend sees it, median; later than {leave.NOTICE_S:g} s is n/a",
        *([] if decided is None else [decided]),
    ]
    return results


def _start(findings: Findings, contender: Contender, folder: Path, *, again: bool) -> None:
    """Twice where the time is measured: the first start has read its files from the disk, the second is the one that counts."""
    where = folder / contender.key.replace(" ×", "-")
    try:
        seconds = contender.start(where)
        if again and contender.name != "direct":
            contender.stop()
            seconds = contender.start(where)
    except NotInstalled as why:
        contender.endpoint = None
        for measure in _ALL:
            findings.cannot(measure, contender.key, str(why).partition(": ")[2] or str(why))
        return
    if contender.name != "direct":
        findings.set("cold_start", contender.key, seconds)


_ALL = (
    "whole", "first", "added_whole_p50", "added_whole_p99", "added_first_p50", "added_first_p99", "requests_per_s", "complete", "relay_p99",
    "steady_p99", "added_steady_p99",
    "stream_first_p99", "added_relay_p99", "added_stream_first_p99", "gone_flowing", "gone_silent", "gone_whole", "cold_start", "pss_idle",
    "pss_loaded", "pss_all_loaded",
)  # fmt: skip


def _text(contenders: list[Contender]) -> tuple[str, str | None]:
    """What everybody is asked, and a note about who decides."""
    for contender in contenders:
        if isinstance(contender, AiRouter) and (text := contender.choose_text()) is not None:
            return (
                text,
                "ai-router decides every request by its learned tier, with authentication, metrics and session files on",
            )
    if any(isinstance(contender, AiRouter) for contender in contenders):
        for contender in contenders:
            if isinstance(contender, AiRouter):
                contender.model = "ai-router/primary"
        return (
            prompts.short(0),
            "ai-router takes the explicit route: its learned tier decides none of the prompts (or there is no model)",
        )
    return prompts.short(0), None


def _round(
    findings: Findings,
    contenders: list[Contender],
    ones: list[Contender],
    simulator: Simulator,
    sampler: Sampler,
    plan: Plan,
    text: str,
    turn: int,
) -> None:
    simulator.reset("primary")
    sampler.meter.row(f"round {turn + 1}: whole answers", plan.whole_s)
    single.measure(
        findings, load.rotated(ones, turn, sampler), text, sampler, plan.whole_s, stream=False
    )
    sampler.meter.row(f"round {turn + 1}: first content", plan.first_s)
    single.measure(
        findings, load.rotated(ones, turn, sampler), text, sampler, plan.first_s, stream=True
    )
    for contender in load.rotated(contenders, turn, sampler):
        sampler.meter.row(
            f"round {turn + 1}: requests/s, {contender.key}", plan.load_s + plan.warm_up_s
        )
        load.throughput(findings, contender, text, plan.load_s, plan.warm_up_s)
    if turn < plan.stream_rounds:
        for contender in load.rotated(contenders, turn, sampler):
            sampler.meter.row(
                f"round {turn + 1}: streams, {contender.key}", plan.chunks / load.STREAM_TPS + 4
            )
            load.streams(findings, contender, text, simulator, plan.streams, plan.chunks)


def _more_files() -> None:
    """Hundreds of streams are as many sockets, here and in what is started."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
