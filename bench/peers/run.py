"""`./Benchmark peers`: everything in its order, within a known time; whatever was started is
stopped at the end."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bench import prompts
from bench.environment import descriptors, pss_mb
from bench.options import Options, between
from bench.peers import flows, levels, measures
from bench.peers.gateways import SPECS, Against, AiRouter, Contender, Direct, Gateway
from bench.peers.install import DEFAULT_SCRATCH, Installed, NotInstalled, install, prepare
from bench.peers.table import MEASURES, Findings, against, tables
from bench.result import Result, Sampler
from bench.stand import ROLES, Unavailable, scratch_folder
from bench.stub import Stub
from simulator.testing import Simulator

NAMES = ("nginx", "portkey", "litellm", "smg", "ai-router")
PARTS = ("latency", "load", "levels", "leaving", "streams", "thousands", "idle", "records")
_TWO_WORKERS = {"latency", "load", "levels", "streams"}
COMPARED = ("latency", "load", "streams")  # with another checkout, unless other parts are named
C = TypeVar("C", bound=Contender)
_SOME_ROUNDS = 2  # at most, of what takes long
_COSTED = 200  # streams, for the CPU time of a chunk
_ALL = 1_000_000  # session files: more than any run makes
_DESCRIPTORS = 16_384


class Plan:
    """How much of everything: a full run takes about twenty minutes once the peers are
    installed."""

    def __init__(self, args: argparse.Namespace) -> None:
        quick = args.quick
        self.parts: tuple[str, ...] = args.parts or (COMPARED if args.against else PARTS)
        self.workers = (1, 2) if set(self.parts) & _TWO_WORKERS else (1,)
        self.rounds: int = args.rounds or (1 if quick else 10 if args.against else 3)
        self.streams: int = args.streams or (40 if quick else 500)
        self.whole_s, self.first_s = (2.4, 1.5) if quick else (15.0, 9.0)
        self.load_s, self.warm_up_s = (1.0, 0.3) if quick else (4.0, 1.0)
        self.records_s = 1.0 if quick else 60.0
        self.chunks = 20 if quick else 60
        self.cost_s = 1.0 if quick else 3.0
        self.thousands: tuple[int, ...] = (50, 100) if quick else (1000, 2000)
        self.thousands_s = 1.5 if quick else 6.0
        self.idle, self.idle_rounds = (50, 1) if quick else (2000, 2)
        self.leaves = 2 if quick else 5


def _chosen(names: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """The type of an option that takes some of these names, separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        asked = {part.strip().lower() for part in text.split(",") if part.strip()}
        if not asked or asked - set(names):
            raise argparse.ArgumentTypeError(f"must be of {', '.join(names)}")
        return tuple(name for name in names if name in asked)

    return read


ARGUMENTS: Options = {
    "--only": dict(
        metavar="NAMES", type=_chosen(NAMES),
        help=f"which to compare, of {','.join(NAMES)} (default: all; with --against ai-router)"
    ),
    "--parts": dict(
        metavar="PARTS", type=_chosen(PARTS),
        help=f"what to measure, of {','.join(PARTS)} (default: all; with --against "
        f"{','.join(COMPARED)})"
    ),
    "--against": dict(
        type=Path, metavar="PATH",
        help="another checkout of ai-router, interleaved with this one: ratios with intervals "
        "(10 rounds)",
    ),
    "--rounds": dict(type=between(1, 20), metavar="N", help="rounds over all of them (default 3)"),
    "--streams": dict(type=between(1, 2000), metavar="N", help="streams at once (default 500)"),
    "--scratch": dict(
        type=Path, default=DEFAULT_SCRATCH, metavar="DIR",
        help=f"where peers are installed ({DEFAULT_SCRATCH})"
    ),
}  # fmt: skip


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Install, start, measure in rounds, stop."""
    only = args.only or (("ai-router",) if args.against else NAMES)
    absent: dict[str, str] = {}
    installed: dict[str, Installed] = {}
    other = args.against and args.against.expanduser().resolve()
    for name in (name for name in only if name in SPECS):
        try:
            installed[name] = install(name, args.scratch, sampler.say)
        except NotInstalled as why:
            absent[SPECS[name].name] = str(why)
    if other:
        prepare(other)
    plan = Plan(args)
    with ExitStack() as stack:
        # Hundreds of streams are as many sockets, here and in what is started.
        descriptors(_DESCRIPTORS)
        simulator = stack.enter_context(Simulator(profile="fast", roles=ROLES))
        contenders: list[Contender] = [Direct(simulator)]
        for name, found in installed.items():
            for workers in plan.workers if name == "litellm" else (1,):
                contenders.append(Gateway(SPECS[name], simulator, found, workers))
        for workers in plan.workers:
            if "ai-router" in only or other:
                contenders.append(AiRouter(simulator, workers, plan.streams))
            if other:
                contenders.append(Against(simulator, workers, plan.streams, other))
        folder = scratch_folder(stack, "peers")
        return compare(contenders, simulator, sampler, plan, folder, stack, absent)


def compare(
    contenders: list[Contender],
    simulator: Simulator,
    sampler: Sampler,
    plan: Plan,
    folder: Path,
    stack: ExitStack,
    absent: dict[str, str],
) -> list[Result]:
    """The measurements themselves. An interrupt keeps what there is until then."""
    findings, more = Findings(), list[Result]()
    routers = [one for one in contenders if isinstance(one, AiRouter)]
    with sampler.interruptible():
        for contender in contenders:
            stack.callback(contender.stop)
            sampler.row(f"start: {contender.key}")
            _start(findings, contender, folder, again=contender.workers == 1 and plan.rounds > 1)
        text = _text([one for one in routers if one.running and one.workers == 1])
        _before_the_simulator(findings, contenders, simulator, sampler, plan, text)
        if "levels" in plan.parts and routers:
            more.append(levels.table(findings, routers))
        if {"streams", "thousands", "idle"} & set(plan.parts):
            stub = stack.enter_context(Stub())
            for contender in (one for one in contenders if one.running):
                sampler.row(f"start before the stub: {contender.key}")
                contender.stop()
                contender.backend = stub
                _start(findings, contender, folder, again=False, counts=False)
            _before_the_stub(findings, contenders, stub, sampler, plan, text, more)
        for contender in contenders:
            contender.stop()
        if "records" in plan.parts and routers:
            sampler.row("session files")
            kept = [AiRouter(simulator, n, max_count=_ALL) for n in (1, 2)]
            more.append(levels.records(kept, folder, text, plan.records_s))
    flows.over_direct(findings, contenders)
    title = (
        f"ai-router among its peers: rounds: {plan.rounds}, interleaved, "
        f"{plan.streams} streams [fast]"
    )
    shown = [contender for contender in contenders if contender.key not in absent]
    results = tables(findings, shown, absent, title)
    results[0].notes += [
        "added: less the backend's own time in the same pair (streams: in the same round); "
        "requests/s: median of the rounds",
        f"streams: {plan.streams}, {plan.chunks} chunks each, {flows.TPS:g} a second; a chunk's "
        "delay counts from the backend's time stamp in it",
        f"CPU per chunk: of all processes, {min(plan.streams, _COSTED)} streams of {plan.cost_s:g} "
        "s, while all of them flow",
        "nginx, Portkey and smg are one process, in both lines about workers",
        "disconnect: from the client's close until the backend sees it, median; "
        f"later than {measures.NOTICE_S:g} s is n/a",
        "ai-router decides every request by its learned tier, with authentication, metrics and "
        "session files on",
    ]
    results += more
    if any(isinstance(one, Against) for one in contenders):
        results.insert(0, against(findings, plan.rounds))
    return results


def _before_the_simulator(
    findings: Findings,
    contenders: list[Contender],
    simulator: Simulator,
    sampler: Sampler,
    plan: Plan,
    text: str,
) -> None:
    """Whole answers, first contents, requests per second, disconnects."""
    running = [one for one in contenders if one.running]
    routers = [one for one in running if isinstance(one, AiRouter)]
    for contender in running:
        sampler.row(f"warm-up: {contender.key}")
        measures.warm(contender, text)
    for contender in running:
        each = [value for pid in contender.worker_pids if (value := pss_mb([pid])) is not None]
        if each:
            findings.set("pss_idle", contender.key, sum(each) / len(each))
    for turn in range(plan.rounds):
        simulator.reset("primary")
        for stream, seconds in ((False, plan.whole_s), (True, plan.first_s)):
            if "latency" not in plan.parts:
                break
            sampler.row(f"round {turn + 1}: {'first content' if stream else 'whole answers'}")
            turns = _rotated(running, turn)
            measures.one_at_a_time(findings, turns, text, sampler, seconds, stream=stream)
            if sampler.interrupted:
                raise KeyboardInterrupt
        for contender in _rotated(running, turn) if "load" in plan.parts else ():
            sampler.row(f"round {turn + 1}: requests/s, {contender.key}")
            measures.throughput(findings, contender, text, plan.load_s, plan.warm_up_s)
        for contender in _rotated(routers, turn) if "levels" in plan.parts else ():
            if turn < _SOME_ROUNDS:
                sampler.row(f"round {turn + 1}: routes and levels, {contender.key}")
                levels.levels(findings, contender, text, plan.load_s, plan.warm_up_s)
    for contender in running if "leaving" in plan.parts else ():
        if contender.workers == 1:
            sampler.row(f"disconnects: {contender.key}")
            measures.disconnects(findings, contender, text, simulator, plan.leaves)


def _before_the_stub(
    findings: Findings,
    contenders: list[Contender],
    stub: Stub,
    sampler: Sampler,
    plan: Plan,
    text: str,
    more: list[Result],
) -> None:
    """Streams, and connections that are held."""
    running = [one for one in contenders if one.running]
    ones = [one for one in running if one.workers == 1]
    for contender in running:
        measures.warm(contender, text)
    for turn in range(plan.rounds if "streams" in plan.parts else 0):
        for contender in _rotated(running, turn):
            sampler.row(f"round {turn + 1}: streams, {contender.key}")
            if turn < _SOME_ROUNDS:
                flows.streams(findings, contender, text, stub, plan.streams, plan.chunks)
            if contender.workers == 1:
                count = min(plan.streams, _COSTED)
                flows.cost(findings, contender, text, stub, count, plan.cost_s)
    if "thousands" in plan.parts:
        sampler.row("thousands of streams")
        more.append(flows.thousands(ones, text, stub, plan.thousands, plan.thousands_s))
    if "idle" in plan.parts:
        sampler.row("idle connections")
        seconds = plan.load_s / 2
        more.append(
            flows.idle(ones, text, plan.idle, plan.idle_rounds, seconds, plan.warm_up_s / 2)
        )


def _rotated(contenders: list[C], turn: int) -> list[C]:
    """In the order of this round."""
    start = turn % max(1, len(contenders))
    return contenders[start:] + contenders[:start]


def _start(
    findings: Findings, contender: Contender, folder: Path, *, again: bool, counts: bool = True
) -> None:
    """`again`: a second time, which counts: the first start has read its files from the disk."""
    where = folder / contender.key.replace(" ×", "-")
    try:
        seconds = contender.start(where)
        if again and contender.name != "direct":
            contender.stop()
            seconds = contender.start(where)
    except NotInstalled as why:
        contender.running = False
        everything = ("whole", "first", *flows.STREAMED, *(one.key for one in MEASURES))
        findings.cannot(everything, contender.key, str(why))
        return
    if counts and contender.name != "direct":
        findings.set("cold_start", contender.key, seconds)


def _text(routers: list[AiRouter]) -> str:
    """What everybody is asked: a prompt that the learned tier of every router decides.

    Raises:
        Unavailable: there is none.
    """
    for text in map(prompts.short, range(20)):
        if all(one.decides(text) for one in routers):
            return text
    raise Unavailable("The learned tier decides none of the prompts.")
