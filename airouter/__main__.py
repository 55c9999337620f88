"""Command line: `python -m airouter COMMAND`: run, serve, check-config, discover, doctor, keys,
map, reload, learn, evaluate, replay, sessions, slo."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
from collections.abc import Sequence

from airouter import __version__
from airouter.cli import discover, doctor, keys, learn, sessions, slo
from airouter.cli import map as mapper_files
from airouter.cli.check_config import check_config
from airouter.cli.embedded import load_without_backends
from airouter.cli.launch import serve
from airouter.cli.reload import reload
from airouter.cli.run import run
from airouter.domain.errors import ConfigError
from airouter.evaluation import evaluate, replay
from airouter.evaluation.decider import local_deciders
from airouter.settings.load import ROOT, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 1 with each error as a sentence on stderr."""
    args = _parser().parse_args(arguments)
    command = args.command
    if command != "evaluate":  # its file arguments are relative to the current directory
        # so that a relative ROUTER_CONFIG or API_KEY_FILE means the same for all commands
        os.chdir(ROOT)
    try:
        if command == "slo":
            return slo.run(args)
        if command == "sessions":
            return sessions.run(args)
        if command == "learn":
            return learn.run(args)
        if command == "map":
            return mapper_files.run(args)
        if command == "discover":
            return discover.run(args)
        if command == "keys":
            return keys.run(args)
        if command == "doctor":
            return doctor.run(args)
        if command in ("evaluate", "replay") and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            # so that Ctrl-C ends the progress bar, which gives the cursor back
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Imported here: app.py is the composition root, which only this function may import.
        from app import check, decider

        if command == "evaluate":
            return evaluate.run(args, None if args.offline else decider(load_settings()))
        if command == "replay":
            environ = {**os.environ, **({"ROUTER_CONFIG": str(args.config)} if args.config else {})}
            if args.ask:
                return replay.run(args, decider(load_settings(environ)).decide)
            return replay.run(args, local_deciders(load_without_backends(environ).cascade).decide)
        if command == "run":
            return run(check)
        if command == "serve":
            serve(check)
        if command == "reload":
            return reload()
        return check_config(check)
    except ConfigError as error:
        print(f"ai-router: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airouter", description="ai-router: a smart-routing, OpenAI-compatible proxy."
    )
    parser.add_argument("--version", action="version", version=f"ai-router {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "run", help="start the router, with a simulator if no backend is configured"
    )
    commands.add_parser("serve", help="start the router in the foreground, for service managers")
    commands.add_parser("check-config", help="validate the configuration and print a summary")
    discover.add_arguments(
        commands.add_parser(
            "discover", help="look for model servers here, and write a configuration for them"
        )
    )
    doctor.add_arguments(
        commands.add_parser("doctor", help="ask the backends what they can do, and what to change")
    )
    keys.add_arguments(commands.add_parser("keys", help="keys of clients: add, list, revoke"))
    commands.add_parser("reload", help="reload the configuration of the running router")
    slo.add_arguments(
        commands.add_parser("slo", help="service level objectives: rules, exports, sizing, reports")
    )
    sessions.add_arguments(
        commands.add_parser("sessions", help="finished requests: list, show, search, count, query")
    )
    mapper_files.add_arguments(
        commands.add_parser("map", help="the mapper's taxonomy and detectors: check, evaluate")
    )
    learn.add_arguments(
        commands.add_parser("learn", help="learn from own sessions: train a model, promote it")
    )
    evaluate.add_arguments(
        commands.add_parser("evaluate", help="measure routing accuracy on labelled prompts")
    )
    replay.add_arguments(
        commands.add_parser("replay", help="decide stored sessions again: what would move")
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
