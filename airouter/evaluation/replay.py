"""`python -m airouter replay DIR`: decides stored sessions again, and shows what would move.

Only the tiers that call no model server decide, unless `--ask` is given. The first label is not
always right: a move is a question, not an error.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES
from airouter.evaluation.decider import Decider
from airouter.evaluation.measures import percentile
from airouter.evaluation.moves import ABSTAINED, DIRECTIONS, Moves
from airouter.sessions.files import FOLDER, Files

if TYPE_CHECKING:
    from rich.console import RenderableType

_WORDS = 70  # characters of an ask that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replay` to a parser."""
    parser.add_argument(
        "dir", type=_path, metavar="DIR", help="a directory of logs, or of session files"
    )
    parser.add_argument(
        "--config",
        type=_path,
        metavar="FILE",
        help="the configuration to decide with (default: the configured one)",
    )
    parser.add_argument(
        "--ask",
        action="store_true",
        help="let the classifier decide, too: calls the configured backends",
    )
    parser.add_argument(
        "--limit",
        type=_count,
        default=20,
        metavar="N",
        help="moved requests shown per direction (default: 20)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, decide: Decider) -> int:
    """Decide the sessions again and print what would move; returns the exit status.

    Args:
        decide: the cascade; its label is "" if all its tiers abstained.

    Raises:
        ConfigError: the directory has no sessions, or cannot be read.
    """
    # rich takes a while to import, and only this command needs it.
    from airouter.sessions.terminal import out, progress, say

    files = Files(args.dir)
    if not files.folder.is_dir():  # the folder of sessions itself
        files.folder = args.dir
    moves = Moves(args.limit)
    try:
        names = files.names()
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}.") from None
    if not names:
        raise ConfigError(f"There are no session files in {args.dir} or its folder {FOLDER}/.")
    with progress("sessions") as advance:
        for _, document in files.documents(progress=advance):
            moves.add(document, decide)
    try:
        if args.json:
            print(json.dumps(moves.as_json() | {"unreadable": files.skipped}, indent=2))
        else:
            console = out()
            for part in printed(moves):
                console.print(part)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`; Python would complain about it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for why, number in moves.skipped.items():
        say(f"Skipped, {why}: {number:,}.")
    for code, number in moves.failed.items():
        say(f"Undecided because of an error, {code}: {number:,}.")
    if files.skipped:
        say(f"Files that are no session files, or are truncated, were skipped: {files.skipped:,}.")
    return 0


def printed(moves: Moves) -> "Iterator[RenderableType]":
    """The report, part by part."""
    from airouter.sessions.terminal import NONE, clean, one_line, table

    n = moves.decided
    if not n:
        yield "No session could be decided again."
        return
    moved = moves.directions.total()
    yield (
        f"{n:,} sessions decided again: {moved:,} would move ({moved / n:.1%}), "
        f"{moves.directions['harmful']:,} of them in the harmful direction "
        f"({moves.directions['harmful'] / n:.1%})"
    )
    yield (
        f"decided without a model call: {moves.covered / n:.1%}, before "
        f"{moves.covered_before / n:.1%}"
    )
    yield (
        f"decision time: p50 {percentile(moves.ms, 0.5):.3f} ms, "
        f"p99 {percentile(moves.ms, 0.99):.3f} ms\n"
    )
    yield table(
        (("old", False), ("new", False), ("sessions", True), ("share", True), ("", False)),
        [
            (
                old,
                new,
                f"{number:,}",
                f"{number / n:.1%}",
                "" if new in (old, ABSTAINED) else "moves",
            )
            for old in CLASSES
            for new in (*CLASSES, ABSTAINED)
            if (number := moves.counts[old, new])
        ],
    )
    for name, title in DIRECTIONS.items():
        if moves.directions[name]:
            yield ""
            yield table(
                (
                    *(("session", False), ("old", False), ("new", False), ("tier", False)),
                    *(("p", True), ("ask", False)),
                ),
                [
                    (
                        clean(one.id[:8]), one.old, one.new, one.tier,
                        NONE if one.p is None else f"{one.p:.3f}", one_line(one.words, _WORDS),
                    )
                    for one in moves.moved[name]
                ],
                f"{title}: {moves.directions[name]:,}",
            )  # fmt: skip


def _path(text: str) -> Path:
    """Relative to the directory in which the command was called: the process leaves it later."""
    return Path(text).absolute()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
