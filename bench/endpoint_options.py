"""What the commands about endpoints have in common: their options, and the profile these choose."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from bench.endpoint import simulated
from bench.measured import STORE
from bench.slo import DEFAULT_ENDPOINTS, EndpointProfile, SloError, endpoint_profile
from bench.stand import Unavailable

QUICK = (5, 1)


def options() -> argparse.ArgumentParser:
    """A parser to inherit from."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--slo",
        default=DEFAULT_ENDPOINTS,
        metavar="NAME",
        help="the profile: 000, 001 or a file (default: 001)",
    )
    common.add_argument(
        "--endpoint",
        action="append",
        metavar="NAME",
        help="only this endpoint of the profile; may be repeated",
    )
    common.add_argument(
        "--samples",
        type=_positive,
        metavar="N",
        help="requests to measure (default: the profile's)",
    )
    common.add_argument(
        "--warm-up",
        type=_count,
        metavar="N",
        help="requests before them that do not count (default: the profile's)",
    )
    common.add_argument(
        "--quick", action="store_true", help="five samples: does it work, not how well"
    )
    common.add_argument(
        "--json", type=Path, metavar="OUT", help="write the results to this file as well"
    )
    common.add_argument(
        "--api-key",
        default=os.environ.get("API_KEY") or None,
        help="the endpoints' key (better: API_KEY)",
    )
    environment = os.environ.get("SLO_ENVIRONMENT") or (
        "ci" if os.environ.get("CI") else "development"
    )
    common.add_argument(
        "--environment",
        default=environment,
        metavar="NAME",
        help=f"adjusts the levels; here: {environment}",
    )
    common.add_argument(
        "--store",
        type=Path,
        default=STORE,
        metavar="DIR",
        help="where measurements are kept (default logs/slo)",
    )
    common.set_defaults(workers=1, url=None)
    return common


def chosen(args: argparse.Namespace) -> tuple[EndpointProfile, float | None]:
    """The profile, and what its latency levels are multiplied by (None: nothing is asserted).

    Raises:
        Unavailable: the profile, the environment or an endpoint does not exist.
    """
    try:
        profile = endpoint_profile(args.slo)
        factor = profile.factor(args.environment)
    except SloError as error:
        raise Unavailable(str(error)) from None
    for name in args.endpoint or ():
        if name not in profile.endpoints:
            raise Unavailable(
                f"There is no endpoint {name!r} in profile {profile.name}; there are {', '.join(profile.endpoints)}."
            )
    return profile, factor


def counts(args: argparse.Namespace, profile: EndpointProfile) -> tuple[int, int]:
    """Samples and warm-ups: the command line, then --quick, then the profile."""
    samples, warm_up = QUICK if args.quick else (profile.method.sequential, profile.method.warm_up)
    return args.samples or samples, warm_up if args.warm_up is None else args.warm_up


def title(profile: EndpointProfile, args: argparse.Namespace) -> str:
    """What a table's title says besides its subject."""
    return f" ({'simulated, ' if simulated(profile) else ''}{args.environment}{', quick' if args.quick else ''})"


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= 100_000:
            raise argparse.ArgumentTypeError(f"must be from {least} to 100000")
        return value

    return read


_positive, _count = _number(1), _number(0)
