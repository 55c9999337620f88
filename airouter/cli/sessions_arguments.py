"""The arguments that the subcommands of `sessions` share, and what their values may be."""

import argparse
import re
from datetime import datetime
from pathlib import Path

from airouter.cli.subcommands import path
from airouter.domain.clock import Clock
from airouter.sessions.find import Filter

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")


def add_since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=since,
        metavar="TIME",
        help="30s, 10m, 1h, 2d or 1w ago, or a date: 2026-11-21T08:45",
    )


def add_filter(parser: argparse.ArgumentParser) -> None:
    add_since(parser)
    for name in ("route", "outcome", "reason", "backend"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"only with this {name}")
    parser.add_argument("--key", metavar="ID", help="only with the key of this id")


def add_limit(parser: argparse.ArgumentParser, default: int = 20) -> None:
    parser.add_argument(
        "--limit", type=count, default=default, metavar="N", help=f"rows (default: {default})"
    )


def wanted(args: argparse.Namespace) -> Filter:
    return Filter(args.since, args.route, args.outcome, args.reason, args.backend, args.key)


def since(text: str) -> float:
    """Seconds since 1970 of a time, or of one so long ago."""
    ago = _DURATION.fullmatch(text)
    if ago:
        return Clock().time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration such as 1h nor a date such as 2026-11-21"
        ) from None


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def named(text: str) -> tuple[str, Path]:
    return text, path(text)
