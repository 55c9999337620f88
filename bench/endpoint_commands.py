"""The commands about single endpoints, without a router: what `python -m bench` registers in one line."""

import argparse
from collections.abc import Callable
from typing import Any

from bench import baseline, calibrate, due, endpoint_profile
from bench.endpoint_options import options
from bench.result import Result
from bench.sampling import Sampler

EndpointRun = Callable[[Sampler, argparse.Namespace], list[Result]]
ENDPOINTS: dict[str, tuple[EndpointRun, str]] = {
    "endpoint-profile": (
        endpoint_profile.run,
        "every LLM_*_URL against its service levels: cold, one by one, several at a time",
    ),
    "calibrate": (
        calibrate.run,
        "service levels of the endpoints from measurement: (base + RTT) × margin",
    ),
    "baseline": (
        baseline.run,
        "keep the endpoints' figures, compare with the last ones, show them as Markdown",
    ),
    "due": (due.run, "must the endpoints' service levels be calibrated again, and why?"),
}
_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "calibrate": calibrate.add_arguments,
    "baseline": baseline.add_arguments,
}


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    common = options()
    for name, (_run, about) in ENDPOINTS.items():
        command = commands.add_parser(
            name,
            parents=[common],
            help=about,
            description=f"{about[0].upper()}{about[1:]}. Endpoints come from config/slo/endpoints-*.yaml and the variables named there; "
            "where none is set the simulator stands in.",
        )
        if name in _ARGUMENTS:
            _ARGUMENTS[name](command)
