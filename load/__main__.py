"""Command line of the load test: `python -m load`, `make load`, `make load-ui`."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.router_process import ROOT
from bench.slo import SloError, router_slo
from bench.stand import Unavailable
from load import run
from load.plan import SHAPES
from load.stand import Target, embedded, running


def parser() -> argparse.ArgumentParser:
    shapes = "; ".join(f"{name}: {about}" for name, (_, about) in SHAPES.items())
    top = argparse.ArgumentParser(
        prog="python -m load",
        description="Realistic load on the router, and a verdict per service level: exit status 1 when one is not kept. Without --url "
        "it starts the simulator and a router of its own.",
    )
    top.add_argument(
        "--shape",
        choices=tuple(SHAPES),
        default="standard",
        metavar="NAME",
        help=f"{shapes} (default: standard)",
    )
    top.add_argument(
        "--seconds", type=_seconds, metavar="S", help="how long in all (each shape has a default)"
    )
    top.add_argument("--url", help="a router that runs already, e.g. http://127.0.0.1:8002")
    top.add_argument(
        "--api-key", help="its key (better: the environment's API_KEY, which no process list shows)"
    )
    top.add_argument(
        "--direct",
        metavar="URL",
        help="its primary backend, for the latency that the router adds (default: PRIMARY_URL)",
    )
    top.add_argument(
        "--embedding-model", metavar="NAME", help="ask its /v1/embeddings too, for this model"
    )
    top.add_argument(
        "--users",
        type=_users,
        metavar="N",
        help="users that are the rated load (default: what the embedded one is made for, else 20)",
    )
    top.add_argument(
        "--period",
        type=_seconds,
        default=6.0,
        metavar="S",
        help="seconds from one turn of a user to its next (default 6)",
    )
    top.add_argument(
        "--distributed",
        type=_workers,
        default=0,
        metavar="N",
        help="a master and N processes that send",
    )
    top.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="worker processes of the router it starts (default 1)",
    )
    top.add_argument(
        "--slo",
        metavar="FILE",
        help="service levels (default: config/slo/router-embedded.yaml, with --url router.yaml)",
    )
    top.add_argument(
        "--out",
        type=Path,
        default=ROOT / "logs" / "load",
        metavar="DIR",
        help="where CSV, HTML and samples go (default logs/load)",
    )
    top.add_argument(
        "--ui",
        action="store_true",
        help="Locust's web interface instead, without a shape and a verdict",
    )
    top.add_argument(
        "--ui-port", type=int, default=8089, metavar="PORT", help="its port (default 8089)"
    )
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    # As exceptions, so that what was started is stopped, also where a shell has had SIGINT ignored.
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console() if sys.stdout.isatty() else Console(width=170)
    try:
        slo = router_slo(args.slo or ("router" if args.url else "router-embedded"))
        with ExitStack() as stack:
            target = (
                stack.enter_context(_embedded(args, slo.rated_utilisation))
                if not args.url
                else _running(args)
            )
            users = args.users or target.rated_users or 20.0
            options = run.Options(
                args.shape, args.seconds, users, args.period, args.distributed, args.out
            )
            if args.ui:
                return run.interface(target, options, args.ui_port, console)
            return run.headless_run(target, slo, options, console)
    except (SloError, Unavailable) as why:
        console.print(f"load: {why}", highlight=False)
        return 2
    except KeyboardInterrupt:
        return 130


def _embedded(args: argparse.Namespace, utilisation: float) -> AbstractContextManager[Target]:
    return embedded(utilisation, args.period, args.workers)


def _running(args: argparse.Namespace) -> Target:
    return running(
        args.url,
        args.api_key or os.environ.get("API_KEY") or None,
        args.direct,
        args.embedding_model,
    )


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 7 * 86_400:
        raise argparse.ArgumentTypeError("must be from 1 to 604800")
    return value


def _users(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("must be from 1 to 10000")
    return value


def _workers(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError("must be from 1 to 64")
    return value


if __name__ == "__main__":
    sys.exit(main())
