"""Requests per second under load, through the router and directly: the direct row is the ceiling of this machine."""

from bench.client import Endpoint
from bench.environment import cpu_seconds
from bench.load_client import drive
from bench.prompts import body
from bench.result import NOTHING, Result, number, spread
from bench.sampling import Sampler
from bench.stand import Stand
from bench.stats import summarise

PROFILE = "fast"
LEVELS = (16, 64, 256)
SECONDS, WARM_UP_S = 5, 1.5
COLUMNS = (
    "at a time",
    "requests/s",
    "failures",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "router CPU µs/request",
    "router cores",
)


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Closed loop: every user sends its next request when it has its answer. `samples`: seconds per level."""
    seconds = float(samples or (1 if quick else SECONDS))
    warm_up = 0.3 if quick else WARM_UP_S
    result = Result("throughput", "Requests per second (explicit route, not streaming)", COLUMNS)
    targets: list[tuple[str, Endpoint, str]] = []
    if stand.direct is not None and stand.embedded:
        targets.append(("direct", stand.direct, stand.primary_model))
    targets.append(("routed", stand.router, f"{stand.virtual_model}/primary"))
    sampler.meter.start("throughput", len(LEVELS) * len(targets) * (seconds + warm_up))
    for name, endpoint, model in targets:
        wire = endpoint.wire(
            "/v1/chat/completions", body("Say something short about rivers.", model)
        )
        for users in LEVELS:
            if sampler.interrupted:
                break
            sampler.meter.row(f"{name}, {users} at a time", seconds + warm_up)
            pids = stand.router_pids if name == "routed" else []
            before = cpu_seconds(pids)
            try:
                load = drive(endpoint, wire, users, seconds, warm_up)
            except KeyboardInterrupt:
                sampler.interrupted = True
                break
            after = cpu_seconds(pids)
            # The CPU of the warm-up is in it, so its requests are as well: both in proportion to time.
            rate = len(load.latencies) / load.seconds
            cores = (
                (after - before) / (load.seconds + warm_up)
                if before is not None and after is not None
                else None
            )
            cost = cores / rate if cores is not None and rate else None
            result.add(
                (
                    f"{name}, {users}",
                    number(rate, 0),
                    str(load.failures),
                    *spread(summarise(load.latencies)),
                    number(cost * 1e6, 0) if cost is not None else NOTHING,
                    number(cores, 2),
                ),
                users=users, requests_per_s=rate, failures=load.failures, latency_s=summarise(load.latencies),
                cpu_us_per_request=cost and cost * 1e6, cores=cores,
            )  # fmt: skip
            if load.first_failure:
                result.notes.append(
                    f"{name}, {users}: the first failure: {load.first_failure[:160]}"
                )
    return [result]
