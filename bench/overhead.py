"""What the router adds to a request: pairs of direct and routed, alternating, on the same backend;
requests per second with many at a time, where the direct row is the ceiling of this machine; and
where a request's time goes inside the router."""

import time
from typing import Any

from bench.client import Connection
from bench.crowd import drive
from bench.environment import cpu_seconds
from bench.instrument import PATHS, STAGES, Stopwatch
from bench.planning import fleet
from bench.prompts import SHORT_TEXT, body
from bench.result import (
    NOTHING,
    Pair,
    Result,
    Sampler,
    Samples,
    counted,
    intervals,
    number,
    spread,
    without_collector,
)
from bench.stand import Stand, Unavailable
from bench.stats import bootstrap, summarise

PROFILE = "fast"
WARM_UP = 300
PAIRS, STREAM_PAIRS = 3000, 800
COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms")
TARGETS = "targets: p50 0.9 ms, p99 2 ms (stretch 0.6 ms); first content 1.2 ms (stretch 0.6 ms)"


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Added latency at concurrency 1, explicit route, kept-alive connections on both sides."""
    pairs = samples or (60 if quick else PAIRS)
    title = "Added latency, one request at a time (explicit route, keep-alive)"
    result = Result("overhead", title, COLUMNS)
    if stand.direct is None:
        raise Unavailable(
            "This compares with the primary itself: name it by --direct http://host:port "
            "(or PRIMARY_URL)."
        )
    ends = ((stand.direct, stand.primary_model), (stand.router, stand.explicit_model))
    for what, stream, wanted, budget in (
        ("whole answer", False, pairs, 30.0),
        ("first content of a stream", True, min(pairs, STREAM_PAIRS), 10.0),
    ):
        wires = [end.chat(body(SHORT_TEXT, model, stream=stream)) for end, model in ends]
        with Connection(ends[0][0]) as direct, Connection(ends[1][0]) as routed:
            pair = Pair(direct.timing(wires[0], stream), routed.timing(wires[1], stream))
            warm_up = min(WARM_UP, wanted)
            sampler.collect(
                pair.take, warm_up, budget=budget / 8, at_least=1, name=f"warm-up: {what}"
            )
            with without_collector():
                found = sampler.collect(pair.take, wanted, budget=budget, name=what)
        _add(result, what, found)
    result.notes += [
        "added: the difference within each pair, with its 95 % bootstrap interval; "
        "the order within a pair is random",
        TARGETS,
    ]
    return [result]


def _add(result: Result, what: str, found: Samples[tuple[float, float]]) -> None:
    if result.failed(what, found):
        return
    n = counted(found)
    for name, values in zip(("direct", "routed"), zip(*found.values, strict=True), strict=True):
        summary = summarise(values)
        result.add((f"{what}: {name}", n, *spread(summary)), summary_s=summary)
    added = p50, p95, p99 = bootstrap([routed - direct for direct, routed in found.values])
    result.add(
        (f"{what}: added", n, *intervals(added, len(found.values))),
        n=len(found.values), failures=found.failures, p50_s=p50, p95_s=p95, p99_s=p99,
    )  # fmt: skip


# ./Benchmark throughput ---------------------------------------------------------------------------

LEVELS = (16, 64, 256)
THROUGHPUT_S, WARM_UP_S = 5, 1.5
_RATES = ("at a time", "requests/s", "failures", "p50 ms", "p95 ms", "p99 ms",
    "router CPU µs/request", "router cores")  # fmt: skip


def throughput(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Closed loop: every user sends its next request when it has its answer. `samples`: seconds per
    level."""
    seconds = float(samples or (1 if quick else THROUGHPUT_S))
    warm_up = 0.3 if quick else WARM_UP_S
    result = Result("throughput", "Requests per second (explicit route, not streaming)", _RATES)
    with sampler.interruptible():
        for name, (endpoint, model) in stand.targets().items():
            wire = endpoint.chat(body(SHORT_TEXT, model))
            for users in LEVELS:
                sampler.row(f"{name}, {users} at a time")
                pids = stand.router_pids if name == "routed" else []
                before = cpu_seconds(pids)
                load = drive(endpoint, wire, users, seconds, warm_up)
                after = cpu_seconds(pids)
                # The CPU of the warm-up and of the last answers is in it: so are their requests.
                rate, cost, cores = len(load.latencies) / load.seconds, None, None
                if before is not None and after is not None and load.answered:
                    cost = (after - before) / load.answered * 1e6
                    cores = cost * rate / 1e6
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


# ./Benchmark profile: one request at a time, in a gunicorn worker, µs per stage ---------------

APP = "bench.instrument:create_app()"
_PROFILED, _PROFILE_WARM_UP = 3000, 500
WAITING = "loop: wait for an event"


def profile(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Stages of the explicit route, not streaming; deciding and planning with many backends."""
    wanted = samples or (100 if quick else _PROFILED)
    wire = stand.router.chat(body(SHORT_TEXT, stand.explicit_model))
    reset, report = (stand.router.wire(path, None) for path in PATHS)
    with Connection(stand.router) as router:
        sampler.collect(
            lambda _i: router.checked(wire), min(_PROFILE_WARM_UP, wanted), budget=5, name="warm-up"
        )
        router.checked(reset)
        found = sampler.collect(
            lambda _i: router.checked(wire).seconds, wanted, budget=20, name="profile"
        )
        told = router.checked(report).json()
    n = max(1, len(found.values))
    return [_stages(told, n, sum(found.values) / n * 1e6), fleet(quick=quick)]


def _stages(report: dict[str, Any], n: int, seen_us: float) -> Result:
    columns = ("stage", "µs", "calls", "share %")
    result = Result("profile", "The router's time per request, by stage", columns)
    cost = _own_cost()
    figures = {
        stage: (max(0.0, seconds - calls * cost) / n * 1e6, calls / n)
        for stage, (seconds, calls) in report["stages"].items()
        if calls
    }
    outside = {stage for stage in figures if stage == WAITING or stage.startswith("background")}
    total = sum(us for stage, (us, _) in figures.items() if stage not in outside)
    for stage in STAGES:
        if stage in figures:
            us, calls = figures[stage]
            share = NOTHING if stage in outside or not total else f"{100 * us / total:.1f}"
            result.add((stage, f"{us:.1f}", f"{calls:.2f}", share), us=us, calls=calls)
    result.add(("the router, added up", f"{total:.1f}", "", "100"), us=total)
    result.add(("a whole request, as its client sees it", f"{seen_us:.1f}", "", ""), us=seen_us)
    result.notes += [
        "wall-clock time; a stage's own, without the stages it calls; 'background' runs in other "
        "threads, after the answer",
        "not in any stage: the way through the kernel's sockets, waking up, and the simulator",
    ]
    if report["missing"]:
        result.notes.append("no longer there under these names: " + ", ".join(report["missing"]))
    return result


def _own_cost() -> float:
    """Seconds that the stopwatch itself adds to a stage's own time."""
    watch, rounds = Stopwatch(), 20_000
    empty = watch.watch("empty", lambda: None)
    start = time.perf_counter()
    for _ in range(rounds):
        empty()
    around = (time.perf_counter() - start) / rounds
    inside = watch.totals()["empty"][0] / rounds
    return inside + (around - inside) / 2
