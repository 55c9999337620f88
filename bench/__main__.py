"""Command line of `./Benchmark`."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from bench import (
    ab,
    comparisons,
    failover,
    faults,
    operations,
    overhead,
    overload,
    profile,
    routing,
    scorecard,
    streams,
    throughput,
)
from bench.client import Failure
from bench.endpoint_commands import ENDPOINTS
from bench.endpoint_commands import add_parsers as add_endpoint_parsers
from bench.environment import environment
from bench.report import run as report
from bench.result import Result, write_json
from bench.sampling import Meter, Sampler
from bench.stand import Options, Stand, Unavailable, scratch, stand

Run = Callable[[Stand, Sampler, int | None, bool], list[Result]]
# In the order in which `all` runs them: (module's run, the profile it is meant for, what it tells).
BENCHMARKS: dict[str, tuple[Run, str, str]] = {
    "routing": (
        routing.run,
        routing.PROFILE,
        "every route, the models, long context, streaming, the price of deciding",
    ),
    "overhead": (overhead.run, overhead.PROFILE, "what the router adds to one request at a time"),
    "streams": (
        streams.run,
        streams.PROFILE,
        "many streams at once: completeness, gaps, CPU, memory",
    ),
    "throughput": (
        throughput.run,
        throughput.PROFILE,
        "requests per second at 16, 64 and 256 at a time",
    ),
    "profile": (
        profile.run,
        profile.PROFILE,
        "where a request's time goes inside the router, stage by stage",
    ),
}
ChainRun = Callable[[Sampler, argparse.Namespace], list[Result]]
# These break what they measure, so they bring a chain of tiers of their own: (module's run, what it tells).
CHAINS: dict[str, tuple[ChainRun, str]] = {
    "faults": (
        faults.run,
        "every fault of the simulator, streaming and not: what the client gets, who was asked",
    ),
    "scorecard": (
        scorecard.run,
        "sixteen faults of one of two OpenAI backends, the limits as shipped (six minutes)",
    ),
    "failover": (
        failover.run,
        "how long a dead tier costs, when it is back, who is asked when (NFR65 to NFR69)",
    ),
    "operations": (
        operations.run,
        "reloads under load, half of them of a broken file, and SIGTERM under 100 streams",
    ),
    "overload": (
        overload.run,
        "1, 2, 5 and 10 times the capacity: who is served, who is told to wait, what is left afterwards",
    ),
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="Benchmark",
        description="Measures the router and its models. Without --url it starts the simulator and a router of its own.",
    )
    commands = top.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", type=Path, metavar="OUT", help="write the results to this file as well"
    )
    common.add_argument("--url", help="a router that runs already, e.g. http://127.0.0.1:8002")
    common.add_argument(
        "--api-key", help="its key (better: the environment's API_KEY, which no process list shows)"
    )
    common.add_argument(
        "--direct",
        metavar="URL",
        help="its primary backend, for what compares with it (default: PRIMARY_URL)",
    )
    common.add_argument(
        "--log-dir",
        type=Path,
        metavar="DIR",
        help="its LOG_DIR, for the stages' figures from its session files",
    )
    common.add_argument(
        "--samples",
        type=_positive,
        metavar="N",
        help="samples per row (or pairs, streams, seconds per level)",
    )
    common.add_argument(
        "--quick",
        action="store_true",
        help="tiny counts on the fast profile: does it work, not how well",
    )
    common.add_argument(
        "--profile",
        choices=("fast", "homelab"),
        help="the simulator's timing; each benchmark has its own default",
    )
    common.add_argument(
        "--tiers",
        metavar="LIST",
        help=f"the router's cascade (routing: {routing.TIERS}, as the reference decided; else as shipped)",
    )
    common.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="worker processes of the router it starts (default 1)",
    )
    for name, (_measure, used, about) in BENCHMARKS.items():
        command = commands.add_parser(
            name,
            parents=[common],
            help=about,
            description=f"{about[0].upper()}{about[1:]}. Profile: {used}.",
        )
        if name == "routing":
            command.add_argument(
                "--ab",
                metavar="WHAT=A,B",
                help="instead: speculation=on,off or tier=A,B side by side, paired differences",
            )
    for name, (_run, about) in CHAINS.items():
        command = commands.add_parser(
            name, parents=[common], help=about, description=f"{about[0].upper()}{about[1:]}."
        )
        if name == "overload":
            overload.add_arguments(command)
    add_endpoint_parsers(commands)
    comparisons.add_parsers(commands, common)
    report.add_parser(commands)
    commands.add_parser(
        "all", parents=[common], help="all of them", description="All of them, one after the other."
    )
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    # As exceptions, so that what was started is stopped. SIGINT too: where a shell started this in
    # the background, it is ignored otherwise.
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    if args.benchmark == "report":
        return report.run(args, console)
    sampler = Sampler(Meter(console))
    results: list[Result] = []
    status = 0
    names = [*BENCHMARKS, *CHAINS, "history"] if args.benchmark == "all" else [args.benchmark]
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
            found = _one(name, args, sampler)
        except Unavailable as why:
            console.print(f"{name}: {why}", highlight=False)
            status = 1 if len(names) == 1 else status
            continue
        except Failure as failure:
            console.print(f"{name}: stopped, because a request failed: {failure}", highlight=False)
            status = 1
            continue
        except KeyboardInterrupt:
            sampler.interrupted = True
            continue
        finally:
            sampler.meter.stop()
        for result in found:
            result.print(console)
            status = 1 if result.broken else status
        results += found
    if sampler.interrupted:
        console.print("Interrupted: the tables hold what was measured until then.")
        status = 130
    about["command"] = report.command_line(sys.argv[1:] if argv is None else argv)
    if args.json is not None:
        write_json(args.json, results, about, complete=not sampler.interrupted)
    elif args.benchmark in report.KEPT and results:
        kept = report.place(args.benchmark)
        write_json(kept, results, about, complete=not sampler.interrupted)
        report.write_page(kept, console)
    console.print(
        f"{about['cores']} cores, {about['cpu']}, Python {about['python']}, {about['gpu']}",
        style="dim",
        highlight=False,
    )
    return status


def _one(name: str, args: argparse.Namespace, sampler: Sampler) -> list[Result]:
    if name in ENDPOINTS:
        return ENDPOINTS[name][0](sampler, args)
    if name in comparisons.COMPARISONS:
        return comparisons.run(name, sampler, args)
    if name in CHAINS:
        if args.url:
            raise Unavailable("It breaks the backends, so it starts its own: leave --url out.")
        return CHAINS[name][0](sampler, args)
    run, used, _about = BENCHMARKS[name]
    options = Options(
        url=args.url,
        api_key=args.api_key or os.environ.get("API_KEY") or None,
        direct=args.direct,
        profile=args.profile or ("fast" if args.quick else None),
        workers=args.workers,
        log_dir=args.log_dir,
    )
    if name == "profile" and options.url:
        raise Unavailable(
            "It looks inside the router's process, so it starts its own: leave --url out."
        )
    extra: dict[str, Any] = profile.INSTRUMENTED if name == "profile" else {}
    tiers = args.tiers or (routing.TIERS if name == "routing" else None)
    if tiers:
        extra = {**extra, "env": {**extra.get("env", {}), "CASCADE_TIERS": tiers}}
    if getattr(args, "ab", None):
        if options.url:
            raise Unavailable("It compares two routers of its own: leave --url out.")
        compared = ab.sides(args.ab)
        return ab.run(
            compared, options, sampler, args.tiers or routing.TIERS, args.samples, args.quick
        )
    with stand(options, used, **extra) as where:
        results = run(where, sampler, args.samples, args.quick)
        for result in results:
            workers = (
                f", {args.workers} worker{'s' if args.workers > 1 else ''}"
                if where.embedded
                else ""
            )
            decided = f", tiers {tiers}" if tiers and where.embedded else ""
            # Round brackets: square ones are markup to the printer, and vanish.
            result.title += f" ({where.profile}{workers}{decided}{', quick' if args.quick else ''})"
    return results


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
