"""Command line of `./Benchmark`."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench import (
    ab,
    apis,
    connections,
    dashboard,
    endpoint,
    failover,
    history,
    mapper,
    measured,
    operations,
    options,
    overhead,
    overload,
    replicas,
    report,
    routing,
    scorecard,
    streams,
    translation,
)
from bench.client import Failure
from bench.environment import environment
from bench.peers import run as peers
from bench.result import Result, Sampler, write_json
from bench.stand import Unavailable, scratch, stand

Run = Callable[..., list[Result]]


@dataclass(frozen=True, slots=True)
class Command:
    """One benchmark.

    Args:
        family: what it measures: a stand (then `run` takes it, and `used` is its profile); what it
            starts itself, because it breaks it or compares it; single endpoints.
    """

    family: Literal["stand", "own", "endpoint"]
    run: Run
    about: str
    used: str = ""
    arguments: options.Options = field(default_factory=dict)

    @property
    def description(self) -> str:
        more = f" Profile: {self.used}." if self.used else ""
        more = f" {endpoint.ABOUT}" if self.family == "endpoint" else more
        return f"{self.about[0].upper()}{self.about[1:].rstrip('.?')}.{more}"


_AB: dict[str, Any] = dict(metavar="WHAT=A,B",
    help="instead: speculation=on,off, index=on,off or tier=A,B side by side, "
    "paired differences")  # fmt: skip
# `all` runs those that are no "endpoint", but for `peers`, in this order.
COMMANDS: dict[str, Command] = {
    "routing": Command(
        "stand", routing.run,
        "every route, the models, long context, streaming, the price of deciding",
        routing.PROFILE, {"--ab": _AB},
    ),
    "overhead": Command(
        "stand", overhead.run, "what the router adds to one request at a time", overhead.PROFILE
    ),
    "streams": Command(
        "stand", streams.run, "many streams at once: completeness, gaps, CPU, memory",
        streams.PROFILE
    ),
    "throughput": Command(
        "stand", overhead.throughput, "requests per second at 16, 64 and 256 at a time",
        overhead.PROFILE
    ),
    "profile": Command(
        "stand", overhead.profile, "where a request's time goes inside the router, stage by stage",
        overhead.PROFILE
    ),
    "faults": Command(
        "own", scorecard.faults,
        "every fault of the simulator, streaming and not: what the client gets, who was asked",
        arguments={"--api": apis.OPTION},
    ),
    "scorecard": Command(
        "own", scorecard.run,
        "sixteen faults of one of two OpenAI backends, the limits as shipped (six minutes)",
        arguments={"--api": apis.OPTION},
    ),
    "failover": Command(
        "own", failover.run,
        "how long a dead tier costs, when it is back, who is asked when (NFR65 to NFR69)"
    ),
    "replicas": Command(
        "own", replicas.run,
        "three replicas with prefix caches, one of which dies; embeddings over two"
    ),
    "operations": Command(
        "own", operations.run,
        "reloads under load, half of them of a broken file, and SIGTERM under 100 streams"
    ),
    "overload": Command(
        "own", overload.run,
        "1, 2, 5 and 10 times the capacity: who is served, who is told to wait, what is left "
        "afterwards",
        arguments=overload.ARGUMENTS,
    ),
    "connections": Command(
        "own", connections.run,
        "5,000 idle connections, unfinished heads and readers that stop; 10 MB bodies: is it "
        "alive, are others served, does the memory come back?",
    ),
    "dashboard": Command(
        "own", dashboard.run,
        "20 open tabs of the dashboard beside 100 requests per second: what do they cost them, "
        "does the memory stay? (ten minutes)",
    ),
    "history": Command(
        "own", history.run,
        "100,000 stored sessions, a full decision cache, a conversation of 1 MB: is anything "
        "slower than fresh?",
    ),
    "mapper": Command(
        "own", mapper.run,
        "POST /map by the rules and by a model, with invalid answers among its own (six minutes)",
        arguments=mapper.ARGUMENTS,
    ),
    "translation": Command(
        "own", translation.run,
        "what the Messages and the Responses API cost: chunks of a stream, whole answers",
    ),
    "peers": Command(
        "own", peers.run,
        "ai-router beside LiteLLM, Portkey, smg and nginx, interleaved (installs them the first "
        "time), or beside another checkout of its own (--against)",
        arguments=peers.ARGUMENTS,
    ),
    "endpoint-profile": Command(
        "endpoint", endpoint.profile,
        "every LLM_*_URL against its service levels: cold, one by one, several at a time",
    ),
    "calibrate": Command(
        "endpoint", measured.calibrate,
        "service levels of the endpoints from measurement: (base + RTT) × margin",
        arguments=measured.CALIBRATE_ARGUMENTS,
    ),
    "baseline": Command(
        "endpoint", measured.baseline,
        "keep the endpoints' figures, compare with the last ones, show them as Markdown",
        arguments=measured.BASELINE_ARGUMENTS,
    ),
    "due": Command(
        "endpoint", measured.due, "must the endpoints' service levels be calibrated again, and why?"
    ),
}  # fmt: skip
ALL = [name for name, one in COMMANDS.items() if one.family != "endpoint" and name != "peers"]
_MEASURING: options.Options = {
    **options.COMMON,
    "--log-dir": dict(
        type=Path, metavar="DIR", help="its LOG_DIR, for the stages' figures from its session files"
    ),
    "--samples": dict(
        type=options.POSITIVE, metavar="N",
        help="samples per row (or pairs, streams, seconds per level)"
    ),
    "--quick": dict(
        action="store_true", help="tiny counts on the fast profile: does it work, not how well"
    ),
    "--profile": dict(
        choices=("fast", "homelab"),
        help="the simulator's timing; each benchmark has its own default"
    ),
    "--tiers": dict(
        metavar="LIST",
        help=f"the router's cascade (routing: {routing.TIERS}, as the reference decided; else as "
        "shipped)",
    ),
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="Benchmark",
        description="Measures the router and its models. Without --url it starts the simulator and "
        "a router of its own.",
    )
    commands = top.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, one in COMMANDS.items():
        command = commands.add_parser(name, help=one.about, description=one.description)
        single = one.family == "endpoint"
        options.add(command, endpoint.OPTIONS if single else _MEASURING)
        options.add(command, one.arguments)
        command.set_defaults(**({"workers": 1, "url": None} if single else {}))
    options.add(
        commands.add_parser("report", help=report.ABOUT, description=report.ABOUT),
        report.ARGUMENTS,
    )
    options.add(commands.add_parser("all", help="all of them, one after the other"), _MEASURING)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    console = options.begin(150)
    if args.benchmark == "report":
        return report.run(args, console)
    sampler = Sampler(console)
    results: list[Result] = []
    status = 0
    names = ALL if args.benchmark == "all" else [args.benchmark]
    about = environment() | {
        "commands": names,
        "quick": args.quick,
        "workers": args.workers,
        "scratch": scratch() or tempfile.gettempdir(),
    }
    for name in names:
        if sampler.interrupted:
            break
        try:
            with sampler.interruptible():
                for result in _one(name, args, sampler):
                    sampler.stop()
                    results.append(result)
                    result.print(console)
                    status = 1 if result.broken else status
        except Unavailable as why:
            console.print(f"{name}: {why}", highlight=False)
            status = 1 if len(names) == 1 else status
        except Failure as failure:
            console.print(f"{name}: stopped, because a request failed: {failure}", highlight=False)
            status = 1
        finally:
            sampler.stop()
    if sampler.interrupted:
        console.print("Interrupted: the tables hold what was measured until then.")
        status = 130
    about["command"] = report.command_line(sys.argv[1:] if argv is None else argv)
    kept = args.benchmark in report.KEPT and results and args.json is None
    if path := report.place(args.benchmark) if kept else args.json:
        write_json(path, results, about, complete=not sampler.interrupted)
    if kept:
        kept_ones = argparse.Namespace(results=[], html=None, png=None, markdown=None)
        report.run(kept_ones, console)
    console.print(
        f"{about['cores']} cores, {about['cpu']}, Python {about['python']}, {about['gpu']}",
        style="dim",
        highlight=False,
    )
    return status


def _one(name: str, args: argparse.Namespace, sampler: Sampler) -> list[Result]:
    command, compared = COMMANDS[name], getattr(args, "ab", None)
    if args.url and (command.family == "own" or name == "profile" or compared):
        raise Unavailable("It starts everything that it measures itself: leave --url out.")
    if compared:
        return ab.run(ab.sides(compared), sampler, args)
    if command.family != "stand":
        return command.run(sampler, args)
    tiers = args.tiers or (routing.TIERS if name == "routing" else None)
    env = {"CASCADE_TIERS": tiers} if tiers else None
    app = overhead.APP if name == "profile" else ""
    with stand(args, command.used, env=env, app=app) as where:
        results = command.run(where, sampler, args.samples, args.quick)
        facts = [where.profile]
        if where.embedded:
            facts.append(f"{args.workers} worker{'s' if args.workers > 1 else ''}")
            facts += [f"tiers {tiers}"] if tiers else []
        facts += ["quick"] if args.quick else []
        for result in results:
            # Round brackets: the printer would take square ones for markup.
            result.title += f" ({', '.join(facts)})"
    return results


if __name__ == "__main__":
    sys.exit(main())
