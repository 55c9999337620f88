"""What commands with subcommands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Subcommand(NamedTuple):
    """One subcommand: its help, its arguments, and what it does; `run` returns the exit status."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def path(text: str) -> Path:
    """A path argument, relative to the directory in which the command was called: the process
    changes to the project's root later."""
    return Path(text).absolute()


def seconds(most: float) -> Callable[[str], float]:
    """The type of an argument: a number of seconds, above 0 and at most `most`."""

    def parsed(text: str) -> float:
        value = float(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"must be between 0 and {most:g}")
        return value

    return parsed
