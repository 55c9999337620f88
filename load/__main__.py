"""Command line of the load test: `python -m load`, `make load`, `make load-ui`."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import re
import sys
from pathlib import Path

from bench import options
from bench.options import between
from bench.router_process import ROOT
from bench.slo import router_slo
from bench.stand import Unavailable
from load import run
from load.plan import SHAPES, TEST
from load.stand import EMBEDDING_MODEL, rated_users, target

_SHAPES = "; ".join(f"{name}: {about}" for name, (_, about, _) in SHAPES.items())
_WEEK = 7 * 86_400


def _test_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", text):  # the router would ignore it
        raise argparse.ArgumentTypeError("must be 1 to 40 letters, digits and _.-")
    return text


OPTIONS: options.Options = {
    "--shape": dict(choices=tuple(SHAPES), default="standard", metavar="NAME",
    help=f"{_SHAPES} (default: standard)"),
    "--seconds": dict(type=between(1, _WEEK, float), metavar="S",
    help="how long in all (each shape has a default)"),
    **{name: what for name, what in options.COMMON.items() if name != "--json"},
    "--embedding-model": dict(metavar="NAME", help="ask its /v1/embeddings too, for this model"),
    "--users": dict(
        type=between(1, 10_000, float), metavar="N",
        help="users that are the rated load (default: what the embedded one is made for, else 20)",
    ),
    "--period": dict(
        type=between(1, _WEEK, float), default=6.0, metavar="S",
        help="seconds from one turn of a user to its next (default 6)"
    ),
    "--distributed": dict(type=between(1, 64), default=0, metavar="N",
    help="a master and N processes that send"),
    "--slo": dict(
        metavar="FILE",
        help="service levels (default: config/slo/router-embedded.yaml, with --url router.yaml)"
    ),
    "--test": dict(
        type=_test_name, default=TEST, metavar="NAME",
        help="sent in X-Router-Test, so that objectives do not count the requests (default load)"
    ),
    "--out": dict(
        type=Path, default=ROOT / "logs" / "load", metavar="DIR",
        help="where CSV, HTML and samples go (default logs/load)"
    ),
    "--ui": dict(action="store_true",
    help="Locust's web interface instead, without a shape and a verdict"),
    "--ui-port": dict(type=int, default=8089, metavar="PORT", help="its port (default 8089)"),
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m load",
        description="Realistic load on the router, and a verdict per service level: exit status 1 "
        "when one is not kept. Without --url it starts the simulator and a router of its own.",
    )
    top.set_defaults(profile=None, quick=False, log_dir=None)
    return options.add(top, OPTIONS)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    console = options.begin(170)
    try:
        slo = router_slo(args.slo or ("router" if args.url else "router-embedded"))
        with target(args) as found:
            rated = 20.0 if args.url else rated_users(slo.rated_utilisation, args.period)
            args.users = args.users or rated
            args.embedding_model = args.embedding_model if args.url else EMBEDDING_MODEL
            if args.ui:
                return run.interface(found, args, console)
            return run.headless_run(found, slo, args, console)
    except Unavailable as why:
        console.print(f"load: {why}", highlight=False)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
