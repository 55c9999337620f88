"""What the command lines of the benchmarks and of the load test have in common."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

Options = Mapping[str, Mapping[str, Any]]  # an option's name → what argparse wants to know of it


def between(least: float, most: float, kind: type = int) -> Callable[[str], Any]:
    """The type of an option that takes a number within these limits."""

    def read(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:.0f}")
        return value

    return read


POSITIVE = between(1, 1_000_000)
# These stand in every command's list.
COMMON: Options = {
    "--json": dict(type=Path, metavar="OUT", help="write the results to this file as well"),
    "--url": dict(help="a router that runs already, e.g. http://127.0.0.1:8002"),
    "--api-key": dict(default=os.environ.get("API_KEY") or None,
    help="its key (better: the environment's API_KEY, which no process list shows)"),
    "--direct": dict(
        metavar="URL",
        help="its primary backend, for what compares with it (default: PRIMARY_URL)",
    ),
    "--workers": dict(
        type=between(1, 64), default=1, metavar="N",
        help="worker processes of the router it starts (default 1)"
    ),
}  # fmt: skip


def add(parser: argparse.ArgumentParser, options: Options) -> argparse.ArgumentParser:
    for name, what in options.items():
        parser.add_argument(name, **what)
    return parser


def begin(width: int) -> Console:
    """Where to print. From now on SIGTERM and SIGINT are exceptions, so that what was started is
    stopped; a shell that started this in the background has had SIGINT ignored."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return Console() if sys.stdout.isatty() else Console(width=width)
