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
