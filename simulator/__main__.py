"""Command line: `python -m simulator [--profile demo|fast|homelab] [--<role>-port N] ...`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import orjson
import uvloop

from simulator import ROLES
from simulator.listeners import Listeners
from simulator.profiles import ABOUT, PROFILES

_DEFAULT_ROLES = ("router", "primary", "xai")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulator", description=sys.modules["simulator"].__doc__)
    parser.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        default="fast",
        help="; ".join(f"{name}: {about}" for name, about in sorted(ABOUT.items())),
    )
    parser.add_argument("--host", default="127.0.0.1")
    for role in ROLES:
        parser.add_argument(
            f"--{role}-port", type=int, metavar="N", help=f"serve {role} here; 0 = any free port"
        )
        parser.add_argument(f"--{role}-model", metavar="NAME", help=f"the model that {role} serves")
    parser.add_argument(
        "--control-port", type=int, metavar="N", default=0, help="for /_sim endpoints of all roles"
    )
    parser.add_argument(
        "--ports-file", type=Path, metavar="PATH", help="write the addresses here as well"
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="exit when the parent process has gone"
    )
    return parser


async def _run(args: argparse.Namespace) -> int:
    ports = {role: port for role in ROLES if (port := getattr(args, f"{role}_port")) is not None}
    if not ports:
        ports = dict.fromkeys(_DEFAULT_ROLES, 0)
    profiles = dict(PROFILES[args.profile])
    for role in ports:
        if model := getattr(args, f"{role}_model"):
            profiles[role] = profiles[role].override({"model": model})
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parent = os.getppid()
    listeners = Listeners(args.host, profiles, {**ports, "control": args.control_port})
    try:
        addresses = await listeners.start()
    except OSError as error:
        print(f"simulator: {error}", file=sys.stderr)
        await listeners.stop()
        return 1
    if args.profile == "homelab":
        print(f"simulator: profile homelab, {ABOUT['homelab']}", file=sys.stderr, flush=True)
    line = orjson.dumps(addresses).decode()
    if args.ports_file:
        # Renamed into place, so that readers never see a partial file.
        draft = args.ports_file.with_name(args.ports_file.name + ".part")
        draft.write_text(line + "\n", encoding="utf-8")
        draft.replace(args.ports_file)
    print(line, flush=True)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5 if args.die_with_parent else None)
        if args.die_with_parent and os.getppid() != parent:
            break
    await listeners.stop()
    return 0


def main() -> int:
    return uvloop.run(_run(_parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
