"""`slo`: service level objectives as rules for Prometheus, for other tools, and as a number of
pods."""

import argparse
import math
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from airouter.settings.load import ROOT
from airouter.slo.export import openslo_yaml, sloth_yaml
from airouter.slo.load import PROFILES, load_profiles
from airouter.slo.objectives import Profile
from airouter.slo.rules import RUNBOOKS, rules_yaml
from airouter.slo.size import size

DEFAULT_PROFILES = ("001", "002", "004")
FOLDER = ROOT / "config" / "slo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="slo_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help))


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status.

    Raises:
        ConfigError: a profile does not exist or is not valid.
    """
    return COMMANDS[args.slo_command].run(args)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    _add_profiles(parser)
    _add_runbooks(parser)


def _rules(args: argparse.Namespace) -> int:
    return _write(rules_yaml(_profiles(args), args.runbooks))


def _add_export(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_mutually_exclusive_group(required=True)
    formats.add_argument("--openslo", action="store_true", help="OpenSLO v1")
    formats.add_argument("--sloth", action="store_true", help="Sloth, prometheus/v1")
    _add_profiles(parser)
    _add_runbooks(parser)


def _export(args: argparse.Namespace) -> int:
    profiles = _profiles(args)
    return _write(openslo_yaml(profiles) if args.openslo else sloth_yaml(profiles, args.runbooks))


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rps", type=_positive, required=True, help="requests per second")
    parser.add_argument(
        "--p95", type=_positive, required=True, help="p95 of their duration, in seconds"
    )
    parser.add_argument(
        "--min", type=_count, default=2, metavar="PODS", help="least number of pods (default: 2)"
    )
    parser.add_argument(
        "--per-pod",
        type=_count,
        default=100,
        metavar="REQUESTS",
        help="requests in flight per pod (default: 100)",
    )


def _size(args: argparse.Namespace) -> int:
    needed = size(args.rps, args.p95, args.min, args.per_pod)
    flying = f"{needed.in_flight:g}"
    print(f"{args.rps:g} requests per second × {args.p95:g} s = {flying} requests in flight.")
    print(
        f"Pods: max({args.min}, ceil({flying} / {args.per_pod})) = {needed.pods}. Scale out before "
        "their CPUs are more than 70 % busy."
    )
    return 0


def _add_profiles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(PROFILES)}; may be repeated (default: "
        f"{', '.join(DEFAULT_PROFILES)})",
    )
    parser.add_argument(
        "--environment",
        default="development",
        metavar="NAME",
        help="scales the latency limits of the endpoints (default: development)",
    )


def _add_runbooks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runbooks",
        default=RUNBOOKS,
        metavar="URL",
        help=f"folder of the runbooks, for links in alerts (default: {RUNBOOKS})",
    )


def _profiles(args: argparse.Namespace) -> tuple[Profile, ...]:
    names = dict.fromkeys(args.profile or DEFAULT_PROFILES)  # each once, in their order
    return load_profiles(tuple(names), FOLDER, args.environment)


def _write(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`; Python would complain about it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


class _Command(NamedTuple):
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "rules": _Command("write recording and alerting rules for Prometheus", _add_rules, _rules),
    "export": _Command("write the objectives for OpenSLO or Sloth", _add_export, _export),
    "size": _Command("the number of pods that a load needs", _add_size, _size),
}
