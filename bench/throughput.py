"""Requests per second under load, through the router and directly: the direct row is the ceiling of
this machine."""

from bench.crowd import drive
from bench.environment import cpu_seconds
from bench.prompts import SHORT_TEXT, body
from bench.result import Result, number, spread
from bench.sampling import Sampler
from bench.stand import Stand
from bench.stats import summarise

PROFILE = "fast"
LEVELS = (16, 64, 256)
SECONDS, WARM_UP_S = 5, 1.5
COLUMNS = ("at a time", "requests/s", "failures", "p50 ms", "p95 ms", "p99 ms",
    "router CPU µs/request", "router cores")  # fmt: skip


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Closed loop: every user sends its next request when it has its answer. `samples`: seconds per
    level."""
    seconds = float(samples or (1 if quick else SECONDS))
    warm_up = 0.3 if quick else WARM_UP_S
    result = Result("throughput", "Requests per second (explicit route, not streaming)", COLUMNS)
    with sampler.interruptible():
        for name, (endpoint, model) in stand.targets().items():
            wire = endpoint.chat(body(SHORT_TEXT, model))
            for users in LEVELS:
                sampler.row(f"{name}, {users} at a time")
                pids = stand.router_pids if name == "routed" else []
                before = cpu_seconds(pids)
                load = drive(endpoint, wire, users, seconds, warm_up)
                after = cpu_seconds(pids)
                # The CPU of the warm-up is in it, so its requests are as well: both in proportion
                # to time.
                rate, cores = len(load.latencies) / load.seconds, None
                if before is not None and after is not None:
                    cores = (after - before) / (load.seconds + warm_up)
                cost = cores / rate * 1e6 if cores is not None and rate else None
                found = summarise(load.latencies)
                result.add(
                    (f"{name}, {users}", number(rate, 0), str(load.failures), *spread(found),
                    number(cost, 0), number(cores, 2)),
                    users=users, requests_per_s=rate, failures=load.failures, latency_s=found,
                    cpu_us_per_request=cost, cores=cores,
                )  # fmt: skip
                if load.first_failure:
                    result.notes.append(
                        f"{name}, {users}: the first failure: {load.first_failure[:160]}"
                    )
    return [result]
