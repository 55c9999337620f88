"""The commands that bring everything they compare themselves: what `python -m bench` registers in one line."""

import argparse
from collections.abc import Callable
from typing import Any

from bench import history
from bench.peers import run as peers
from bench.result import Result
from bench.sampling import Sampler
from bench.stand import Unavailable

ComparisonRun = Callable[[Sampler, argparse.Namespace], list[Result]]
COMPARISONS: dict[str, tuple[ComparisonRun, str]] = {
    "history": (
        history.run,
        "100,000 stored sessions, a full decision cache, a conversation of 1 MB: is anything slower than fresh?",
    ),
    "peers": (
        peers.run,
        "ai-router beside LiteLLM, Portkey and nginx, interleaved (installs them the first time)",
    ),
}


def add_parsers(
    commands: "argparse._SubParsersAction[Any]", common: argparse.ArgumentParser
) -> None:
    for name, (_run, about) in COMPARISONS.items():
        command = commands.add_parser(
            name, parents=[common], help=about, description=f"{about[0].upper()}{about[1:]}"
        )
        if name == "peers":
            peers.add_arguments(command)


def run(name: str, sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    if args.url:
        raise Unavailable("It starts everything it compares itself: leave --url out.")
    return COMPARISONS[name][0](sampler, args)
