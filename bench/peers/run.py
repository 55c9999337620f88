"""`./Benchmark peers`: everything in its order, within a known time; whatever was started is
stopped at the end."""

import argparse
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from bench import prompts
from bench.options import Options, number
from bench.peers import leave, load, single
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.peers.gateways import SPECS, Against, AiRouter, Direct, Gateway
from bench.peers.install import DEFAULT_SCRATCH, Installed, NotInstalled, install, prepare
from bench.peers.table import MEASURES, against, tables
from bench.result import Result
from bench.sampling import Sampler
from bench.stand import ROLES, Unavailable, scratch_folder
from simulator.testing import Simulator

NAMES = ("nginx", "portkey", "litellm", "ai-router")


class Plan:
    """How much of everything: a full run takes about eight minutes once the peers are installed."""

    def __init__(self, args: argparse.Namespace) -> None:
        quick: bool = args.quick
        self.rounds: int = args.rounds or (1 if quick else 10 if args.against else 3)
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


def _names(text: str) -> tuple[str, ...]:
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    if not asked or asked - set(NAMES):
        raise argparse.ArgumentTypeError(f"must be of {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in asked)


ARGUMENTS: Options = {
    "--only": dict(
        metavar="NAMES", type=_names,
        help=f"which to compare, of {','.join(NAMES)} (default: all; with --against ai-router)"
    ),
    "--against": dict(
        type=Path, metavar="PATH",
        help="another checkout of ai-router, interleaved with this one: ratios with intervals (10 rounds)",
    ),
    "--rounds": dict(type=number(1, 20), metavar="N", help="rounds over all of them (default 3)"),
    "--streams": dict(type=number(1, 2000), metavar="N", help="streams at once (default 500)"),
    "--scratch": dict(
        type=Path, default=DEFAULT_SCRATCH, metavar="DIR",
        help=f"where peers are installed ({DEFAULT_SCRATCH})"
    ),
    "--pin": dict(action="store_true", help="keep every one-worker gateway on one core, the last"),
}  # fmt: skip


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Install, start, measure in rounds, stop."""
    only = args.only or (("ai-router",) if args.against else NAMES)
    absent: dict[str, str] = {}
    installed: dict[str, Installed] = {}
    other = args.against and args.against.expanduser().resolve()
    with sampler.interruptible():
        for name in (name for name in only if name in SPECS):
            try:
                installed[name] = install(name, args.scratch, sampler.meter.say)
            except NotInstalled as why:
                absent[SPECS[name].name] = _why(why)
        if other:
            try:
                prepare(other, sampler.meter.say)
            except NotInstalled as why:
                raise Unavailable(f"It cannot be compared: {_why(why)}.") from None
    if sampler.interrupted:
        return []
    plan = Plan(args)
    with ExitStack() as stack:
        _more_files()
        simulator = stack.enter_context(Simulator(profile="fast", roles=ROLES))
        contenders: list[Contender] = [Direct(simulator)]
        for name, found in installed.items():
            for workers in (1, 2) if name == "litellm" else (1,):
                contenders.append(Gateway(SPECS[name], simulator, found, workers))
        for workers in (1, 2):
            if "ai-router" in only or other:
                contenders.append(AiRouter(simulator, workers, plan.streams))
            if other:
                contenders.append(Against(simulator, workers, plan.streams, other))
        if args.pin:
            last = max(os.sched_getaffinity(0))
            for contender in contenders:
                contender.cores = frozenset({last}) if contender.workers == 1 else None
        pinning = "one core each" if args.pin else "each as it is set up"
        folder = scratch_folder(stack, "peers")
        return compare(contenders, simulator, sampler, plan, folder, stack, absent, pinning)


def _why(error: NotInstalled) -> str:
    return str(error).partition(": ")[2] or str(error)


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
    findings, row = Findings(), sampler.meter.row
    decided: list[str] = []
    sampler.meter.start("peers", plan.expected(len(contenders)))
    with sampler.interruptible():
        for contender in contenders:
            stack.callback(contender.stop)
            row(f"start: {contender.key}", 5)
            _start(findings, contender, folder, again=contender.workers == 1 and plan.rounds > 1)
        text = _text(contenders, decided)
        ones = [one for one in contenders if one.workers == 1]
        for contender in load.rotated(contenders, 0, sampler):
            row(f"warm-up: {contender.key}", 1.5)
            load.warm(contender, text)
        for contender in load.rotated(contenders, 0, sampler):
            load.idle_memory(findings, contender)
        for turn in range(plan.rounds):
            simulator.reset("primary")
            for what, seconds, stream in (
                ("whole answers", plan.whole_s, False),
                ("first content", plan.first_s, True),
            ):
                row(f"round {turn + 1}: {what}", seconds)
                turns = load.rotated(ones, turn, sampler)
                single.measure(findings, turns, text, sampler, seconds, stream=stream)
            for contender in load.rotated(contenders, turn, sampler):
                row(f"round {turn + 1}: requests/s, {contender.key}", plan.load_s + plan.warm_up_s)
                load.throughput(findings, contender, text, plan.load_s, plan.warm_up_s)
            wave = plan.chunks / load.STREAM_TPS + 4
            for contender in load.rotated(contenders, turn, sampler):
                if turn < plan.stream_rounds:
                    row(f"round {turn + 1}: streams, {contender.key}", wave)
                    load.streams(findings, contender, text, simulator, plan.streams, plan.chunks)
        for contender in load.rotated(ones, 0, sampler):
            row(f"disconnects: {contender.key}", plan.leaves)
            leave.measure(findings, contender, text, simulator, plan.leaves)
    load.over_direct(findings, contenders)
    rounds = f"{plan.rounds} round{'s' if plan.rounds > 1 else ''}"
    title = f"ai-router among its peers: {rounds}, interleaved, {plan.streams} streams, {pinning} [fast]"
    shown = [contender for contender in contenders if contender.key not in absent]
    results = tables(findings, shown, absent, title)
    results[0].notes += [
        "added: less the backend's own time in the same pair (streams: in the same round); requests/s: median of the rounds",
        f"streams: {plan.streams} at once, {plan.chunks} chunks each, {load.STREAM_TPS:g} a second",
        "nginx and Portkey are one process, in both lines about workers",
        f"disconnect: from the client's close until the backend sees it, median; later than {leave.NOTICE_S:g} s is n/a",
        *decided,
    ]
    if any(isinstance(one, Against) for one in contenders):
        results.insert(0, against(findings, plan.rounds))
    return results


def _start(findings: Findings, contender: Contender, folder: Path, *, again: bool) -> None:
    """Twice where the time is measured: the first start has read its files from the disk, the
    second is the one that counts."""
    where = folder / contender.key.replace(" ×", "-")
    try:
        seconds = contender.start(where)
        if again and contender.name != "direct":
            contender.stop()
            seconds = contender.start(where)
    except NotInstalled as why:
        contender.endpoint = None
        everything = ("whole", "first", *load.STREAMED, *(measure.key for measure in MEASURES))
        findings.cannot(everything, contender.key, _why(why))
        return
    if contender.name != "direct":
        findings.set("cold_start", contender.key, seconds)


def _text(contenders: list[Contender], decided: list[str]) -> str:
    """What everybody is asked; adds a note about who decides."""
    ours = [contender for contender in contenders if isinstance(contender, AiRouter)]
    texts = {one: one.choose_text() for one in ours if one.workers == 1}
    if ours and all(texts.values()):
        decided.append(
            "ai-router decides every request by its learned tier, with authentication, metrics and session files on"
        )
        return next(iter(texts.values())) or ""
    for contender in ours:
        contender.explicitly()
    if ours:
        decided.append(
            "ai-router takes the explicit route: its learned tier decides none of the prompts (or there is no model)"
        )
    return prompts.short(0)


def _more_files() -> None:
    """Hundreds of streams are as many sockets, here and in what is started."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
