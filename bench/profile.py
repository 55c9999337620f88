"""Where a request's time goes inside the router: one request at a time, in a real gunicorn worker, µs per stage."""

import os
from pathlib import Path
from typing import Any

from bench.client import Connection, Endpoint
from bench.instrument import HAND_OVER, STAGES, Stopwatch
from bench.prompts import body
from bench.result import Result
from bench.sampling import Sampler
from bench.stand import Stand

PROFILE = "fast"
# BENCH_FUNCTIONS=1 in the environment: cProfile's table of functions instead of the stages.
INSTRUMENTED: dict[str, Any] = {
    "gunicorn_conf": Path(__file__).with_name("profiled_conf.py"),
    "env": {"BENCH_FUNCTIONS": "1"} if os.environ.get("BENCH_FUNCTIONS") else {},
}
REQUESTS, WARM_UP = 3000, 500
WAITING = "upstream: wait for the backend"


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Stages of the explicit route, not streaming."""
    wanted = samples or (100 if quick else REQUESTS)
    sampler.meter.start("profile", 20)
    with Connection(stand.router) as router:
        wire = stand.router.wire(
            "/v1/chat/completions",
            body("Say something short about rivers.", f"{stand.virtual_model}/primary"),
        )
        sampler.collect(
            lambda _i: router.checked(wire), min(WARM_UP, wanted), budget=5, name="warm-up"
        )
        _get(router, stand.router, "/_bench/reset")
        found = sampler.collect(
            lambda _i: router.checked(wire).seconds, wanted, budget=20, name="profile"
        )
        report = _get(router, stand.router, "/_bench/report")
    n = max(1, len(found.values))
    if report["functions"]:
        return [_function_table(report["functions"], n)]
    return [_stage_table(report, n, sum(found.values) / n)]


def _get(connection: Connection, endpoint: Endpoint, path: str) -> Any:
    return connection.checked(endpoint.wire(path, None)).json()


def _stage_table(report: dict[str, Any], n: int, seen: float) -> Result:
    result = Result(
        "profile", "The router's time per request, by stage", ("stage", "µs", "calls", "share %")
    )
    cost = _own_cost()
    figures = {
        stage: (max(0.0, seconds - calls * cost) / n * 1e6, calls / n)
        for stage, (seconds, calls) in report["stages"].items()
        if calls
    }
    inside = {
        stage: us
        for stage, (us, _) in figures.items()
        if stage != WAITING and not stage.startswith("background")
    }
    total = sum(inside.values())
    for stage in (HAND_OVER, *STAGES):
        if stage in figures:
            us, calls = figures[stage]
            share = f"{100 * us / total:.1f}" if stage in inside and total else "–"
            result.add((stage, f"{us:.1f}", f"{calls:.2f}", share), us=us, calls=calls)
    result.add(("the router, added up", f"{total:.1f}", "", "100"), us=total)
    result.add(
        ("a whole request, as its client sees it", f"{seen * 1e6:.1f}", "", ""), us=seen * 1e6
    )
    result.notes.append(
        "wall-clock time; a stage's own, without the stages it calls; 'background' runs in other threads, after the answer"
    )
    result.notes.append(
        "not in any stage: the way through the kernel's sockets, waking up, and the simulator"
    )
    if report["missing"]:
        result.notes.append("no longer there under these names: " + ", ".join(report["missing"]))
    return result


def _function_table(functions: list[tuple[str, int, float, float]], n: int) -> Result:
    result = Result(
        "profile",
        "cProfile: the functions that cost most by themselves",
        ("function", "calls", "own µs", "with callees µs"),
    )
    for name, calls, own, total in functions:
        result.add(
            (name, f"{calls / n:.1f}", f"{own / n * 1e6:.1f}", f"{total / n * 1e6:.1f}"),
            calls=calls / n, own_us=own / n * 1e6, total_us=total / n * 1e6,
        )  # fmt: skip
    result.notes.append(
        "cProfile slows Python's own functions down by about two: compare, do not add up"
    )
    return result


def _own_cost() -> float:
    """Seconds that the stopwatch itself adds to a stage's own time."""
    import time

    watch = Stopwatch()
    empty = watch.watch("empty", lambda: None)
    rounds = 20_000
    for _ in range(rounds):
        empty()
    inside = watch.totals()["empty"][0] / rounds
    start = time.perf_counter()
    for _ in range(rounds):
        empty()
    around = (time.perf_counter() - start) / rounds
    return inside + (around - inside) / 2
