"""What the router adds to a request: pairs of direct and routed, alternating, on the same backend."""

import gc
import random
from typing import Any

from bench.client import Connection, Failure
from bench.prompts import body
from bench.result import Result, counted, ms, spread
from bench.sampling import Sampler
from bench.stand import Stand
from bench.stats import Interval, bootstrap, summarise

PROFILE = "fast"
WARM_UP = 300
PAIRS, STREAM_PAIRS = 3000, 800
BUDGET_S = 40.0
COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms")
TARGETS = "targets: p50 0.9 ms, p99 2 ms (stretch 0.6 ms); first content 1.2 ms (stretch 0.6 ms)"


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Added latency at concurrency 1, explicit route, kept-alive connections on both sides."""
    pairs = samples or (60 if quick else PAIRS)
    result = Result(
        "overhead", "Added latency, one request at a time (explicit route, keep-alive)", COLUMNS
    )
    direct_endpoint = stand.need_direct()
    with Connection(direct_endpoint) as direct, Connection(stand.router) as routed:
        text = "Say something short about rivers."
        plans: tuple[tuple[str, dict[str, Any], int, float], ...] = (
            ("whole answer", {}, pairs, 0.75),
            ("first content of a stream", {"stream": True}, min(pairs, STREAM_PAIRS), 0.25),
        )
        sampler.meter.start("overhead", BUDGET_S)
        for what, extra, wanted, share in plans:
            wires = (
                (
                    direct,
                    direct_endpoint.wire(
                        "/v1/chat/completions", body(text, stand.primary_model, **extra)
                    ),
                ),
                (
                    routed,
                    stand.router.wire(
                        "/v1/chat/completions",
                        body(text, f"{stand.virtual_model}/primary", **extra),
                    ),
                ),
            )
            _measure(
                result,
                what,
                wires,
                wanted,
                BUDGET_S * share,
                sampler,
                min(WARM_UP, wanted),
                bool(extra),
            )
    result.notes.append(
        "added: the difference within each pair, with its 95 % bootstrap interval; the order within a pair is random"
    )
    result.notes.append(TARGETS)
    return [result]


def _measure(
    result: Result,
    what: str,
    wires: tuple[tuple[Connection, bytes], tuple[Connection, bytes]],
    wanted: int,
    budget: float,
    sampler: Sampler,
    warm_up: int,
    stream: bool,
) -> None:
    order = random.Random(7)

    def once(which: int) -> float:
        connection, wire = wires[which]
        reply = connection.checked(wire)
        if not stream:
            return reply.seconds
        if reply.first_content is None:
            raise Failure("a stream without content")
        return reply.first_content

    def pair(_i: int) -> tuple[float, float]:
        if order.random() < 0.5:
            first = once(0)
            return first, once(1)
        second = once(1)
        return once(0), second

    sampler.collect(pair, warm_up, budget=budget / 8, at_least=1, name=f"warm-up: {what}")
    gc.disable()  # the collector's pauses would be ours, not the router's
    try:
        found = sampler.collect(pair, wanted, budget=budget, at_least=5, name=what)
    finally:
        gc.enable()
    if not found.values:
        if found.failures:
            result.add(
                (what, counted(0, found.failures), "–", "–", "–"),
                failures=found.failures,
                first_failure=found.first_failure,
            )
        return
    direct, routed = (
        summarise([d for d, _ in found.values]),
        summarise([r for _, r in found.values]),
    )
    intervals = bootstrap([r - d for d, r in found.values])
    n = counted(len(found.values), found.failures)
    result.add((f"{what}: direct", n, *spread(direct)), summary_s=direct)
    result.add((f"{what}: routed", n, *spread(routed)), summary_s=routed)
    cells = tuple(_with_interval(interval) for interval in intervals)
    names = ("p50_s", "p95_s", "p99_s")
    result.add(
        (f"{what}: added", n, *cells),
        n=len(found.values),
        failures=found.failures,
        **dict(zip(names, intervals, strict=True)),
    )


def _with_interval(interval: Interval) -> str:
    return f"{ms(interval.value)} [{ms(interval.low)}, {ms(interval.high)}]"
