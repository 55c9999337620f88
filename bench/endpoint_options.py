"""What the commands about endpoints have in common: their options, the profile these choose, and
its endpoints one by one."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.endpoint import Subject, simulated, subjects
from bench.measured import STORE, Kind, Record, load
from bench.options import COMMON, Options, number
from bench.sampling import Sampler
from bench.slo import DEFAULT_ENDPOINTS, EndpointProfile, SloError, endpoint_profile
from bench.stand import Unavailable

QUICK = (5, 1)
_ENVIRONMENT = os.environ.get("SLO_ENVIRONMENT") or (
    "ci" if os.environ.get("CI") else "development"
)
ABOUT = (
    "Endpoints come from config/slo/endpoints-*.yaml and the variables named there; "
    "where none is set the simulator stands in."
)
OPTIONS: Options = {
    "--slo": dict(default=DEFAULT_ENDPOINTS, metavar="NAME",
    help="the profile: 000, 001 or a file (default: 001)"),
    "--endpoint": dict(action="append", metavar="NAME",
    help="only this endpoint of the profile; may be repeated"),
    "--samples": dict(type=number(1, 100_000), metavar="N",
    help="requests to measure (default: the profile's)"),
    "--warm-up": dict(
        type=number(0, 100_000), metavar="N",
        help="requests before them that do not count (default: the profile's)"
    ),
    "--quick": dict(action="store_true", help="five samples: does it work, not how well"),
    "--json": COMMON["--json"],
    "--api-key": COMMON["--api-key"],
    "--environment": dict(default=_ENVIRONMENT, metavar="NAME",
    help=f"adjusts the levels; here: {_ENVIRONMENT}"),
    "--store": dict(type=Path, default=STORE, metavar="DIR",
    help="where measurements are kept (default logs/slo)"),
}  # fmt: skip


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


def kept(args: argparse.Namespace, profile: EndpointProfile, kind: Kind) -> dict[str, list[Record]]:
    """What was measured before.

    Raises:
        Unavailable: it cannot be read.
    """
    try:
        return load(args.store, profile.name, kind)
    except SloError as error:
        raise Unavailable(str(error)) from None


def last_of(records: list[Record], simulated: bool) -> Record | None:
    """The last one of the same kind of endpoint, simulated or not."""
    return next((each for each in reversed(records) if each.simulated == simulated), None)


@contextmanager
def endpoints(
    sampler: Sampler, args: argparse.Namespace, profile: EndpointProfile, each_s: float
) -> Iterator[Iterator[tuple[str, Subject | str]]]:
    """Those that were asked for, until Ctrl-C; the sentence is why one cannot be measured."""
    with subjects(profile, api_key=args.api_key) as found:
        mine = [each for each in found.items() if not args.endpoint or each[0] in args.endpoint]
        sampler.meter.start(args.benchmark, each_s * len(mine))
        yield (each for each in mine if not sampler.interrupted)


def counts(args: argparse.Namespace, profile: EndpointProfile) -> tuple[int, int]:
    """Samples and warm-ups: the command line, then --quick, then the profile."""
    samples, warm_up = QUICK if args.quick else (profile.method.sequential, profile.method.warm_up)
    return args.samples or samples, warm_up if args.warm_up is None else args.warm_up


def title(profile: EndpointProfile, args: argparse.Namespace) -> str:
    """What a table's title says besides its subject."""
    return f" ({'simulated, ' if simulated(profile) else ''}{args.environment}{', quick' if args.quick else ''})"
