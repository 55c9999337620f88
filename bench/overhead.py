"""What the router adds to a request: pairs of direct and routed, alternating, on the same
backend."""

from functools import partial

from bench.client import Connection
from bench.prompts import body
from bench.result import Result, counted, intervals, spread
from bench.sampling import Pair, Sampler, without_collector
from bench.stand import Stand
from bench.stats import bootstrap, summarise

PROFILE = "fast"
WARM_UP = 300
PAIRS, STREAM_PAIRS = 3000, 800
BUDGET_S = 40.0
COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms")
TARGETS = "targets: p50 0.9 ms, p99 2 ms (stretch 0.6 ms); first content 1.2 ms (stretch 0.6 ms)"
TEXT = "Say something short about rivers."


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Added latency at concurrency 1, explicit route, kept-alive connections on both sides."""
    pairs = samples or (60 if quick else PAIRS)
    title = "Added latency, one request at a time (explicit route, keep-alive)"
    result = Result("overhead", title, COLUMNS)
    sides = ((stand.need_direct(), stand.primary_model), (stand.router, stand.explicit_model))
    sampler.meter.start("overhead", BUDGET_S)
    for what, stream, wanted, share in (
        ("whole answer", False, pairs, 0.75),
        ("first content of a stream", True, min(pairs, STREAM_PAIRS), 0.25),
    ):
        wires = [end.chat(body(TEXT, model, stream=stream)) for end, model in sides]
        with Connection(sides[0][0]) as direct, Connection(sides[1][0]) as routed:
            pair = Pair(*map(partial(_taker, stream), (direct, routed), wires))
            _measure(result, what, pair, wanted, BUDGET_S * share, sampler)
    result.notes += [
        "added: the difference within each pair, with its 95 % bootstrap interval; the order within a pair is random",
        TARGETS,
    ]
    return [result]


def _taker(stream: bool, connection: Connection, wire: bytes) -> "partial[float]":
    return partial(_seconds, connection, wire, stream)


def _seconds(connection: Connection, wire: bytes, stream: bool, _i: int) -> float:
    return connection.first_content(wire) if stream else connection.checked(wire).seconds


def _measure(
    result: Result, what: str, pair: Pair[float], wanted: int, budget: float, sampler: Sampler
) -> None:
    warm_up = min(WARM_UP, wanted)
    sampler.collect(pair.take, warm_up, budget=budget / 8, at_least=1, name=f"warm-up: {what}")
    with without_collector():
        found = sampler.collect(pair.take, wanted, budget=budget, at_least=5, name=what)
    n = counted(found)
    if not found.values:
        if found.failures:
            result.add(
                (what, n, "–", "–", "–"), failures=found.failures, first_failure=found.first_failure
            )
        return
    for name, values in zip(("direct", "routed"), zip(*found.values, strict=True), strict=True):
        summary = summarise(values)
        result.add((f"{what}: {name}", n, *spread(summary)), summary_s=summary)
    added = p50, p95, p99 = bootstrap([routed - direct for direct, routed in found.values])
    result.add(
        (f"{what}: added", n, *intervals(added, len(found.values))),
        n=len(found.values), failures=found.failures, p50_s=p50, p95_s=p95, p99_s=p99,
    )  # fmt: skip
