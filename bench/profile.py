"""Where a request's time goes inside the router: one request at a time, in a real gunicorn worker,
µs per stage."""

import time
from typing import Any

from bench.client import Connection
from bench.instrument import HAND_OVER, PATHS, STAGES, Stopwatch
from bench.prompts import SHORT_TEXT, body
from bench.result import NOTHING, Result, Sampler
from bench.stand import Stand

PROFILE = "fast"
APP = "bench.instrument:create_app()"
REQUESTS, WARM_UP = 3000, 500
WAITING = "upstream: wait for the backend"


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """Stages of the explicit route, not streaming."""
    wanted = samples or (100 if quick else REQUESTS)
    wire = stand.router.chat(body(SHORT_TEXT, stand.explicit_model))
    reset, report = (stand.router.wire(path, None) for path in PATHS)
    with Connection(stand.router) as router:
        sampler.collect(
            lambda _i: router.checked(wire), min(WARM_UP, wanted), budget=5, name="warm-up"
        )
        router.checked(reset)
        found = sampler.collect(
            lambda _i: router.checked(wire).seconds, wanted, budget=20, name="profile"
        )
        told = router.checked(report).json()
    n = max(1, len(found.values))
    return [_table(told, n, sum(found.values) / n * 1e6)]


def _table(report: dict[str, Any], n: int, seen_us: float) -> Result:
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
    for stage in (HAND_OVER, *STAGES):
        if stage in figures:
            us, calls = figures[stage]
            share = NOTHING if stage in outside or not total else f"{100 * us / total:.1f}"
            result.add((stage, f"{us:.1f}", f"{calls:.2f}", share), us=us, calls=calls)
    result.add(("the router, added up", f"{total:.1f}", "", "100"), us=total)
    result.add(("a whole request, as its client sees it", f"{seen_us:.1f}", "", ""), us=seen_us)
    result.notes += [
        "wall-clock time; a stage's own, without the stages it calls; 'background' runs in other threads, after the answer",
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
