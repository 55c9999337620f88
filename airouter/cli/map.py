"""`map`: the mapper's taxonomy, detectors and frameworks: validate them, write the schema of the
model's output, and measure the rules on labelled outputs."""

import argparse
import sys
from collections.abc import Iterable

from airouter.cli.subcommands import Subcommand, path
from airouter.mapper import agreement, schema
from airouter.mapper.check import check
from airouter.mapper.detectors import Detectors
from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.load import ROOT

_FOLDER = ROOT / "config" / "mapper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="map_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help))


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status.

    Raises:
        ConfigError: a file is missing or not valid; one line per mistake.
    """
    return COMMANDS[args.map_command].run(args)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        type=path,
        default=_FOLDER,
        metavar="FOLDER",
        help="folder of taxonomy, detectors and frameworks (default: config/mapper)",
    )


def _check(args: argparse.Namespace) -> int:
    problems, table = check(args.folder)
    for problem in problems:
        print(f"ai-router: {problem}", file=sys.stderr)
    _print(table)
    return 1 if problems else 0


def _schema(args: argparse.Namespace) -> int:
    file = args.folder / schema.NAME
    text = schema.text(Taxonomy.load(args.folder))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"ai-router: {file}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"Written: {file}")
    return 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=path, metavar="FILE", help="JSONL, a line: {detector, output, labels: [...]}"
    )
    _add_folder(parser)


def _evaluate(args: argparse.Namespace) -> int:
    taxonomy = Taxonomy.load(args.folder)
    detectors = Detectors.load(args.folder, taxonomy)
    lines = agreement.read_lines(args.file, taxonomy)
    _print(agreement.table(agreement.measure(lines, taxonomy, detectors)))
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


COMMANDS = {
    "check": Subcommand("validate the files, and print what they cover", _add_folder, _check),
    "schema": Subcommand("write schema.json, made from the taxonomy", _add_folder, _schema),
    "evaluate": Subcommand("measure the rules on labelled outputs", _add_evaluate, _evaluate),
}
