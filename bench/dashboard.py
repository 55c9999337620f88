"""Open tabs of the dashboard beside requests: do they cost the requests anything, and does the
memory stay?"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field

from bench.client import Answer, Endpoint
from bench.crowd import send
from bench.environment import rss_mb
from bench.prompts import SHORT_TEXT, body
from bench.result import Promises, Result, Sampler, ms, number
from bench.stand import router_before, scratch_folder
from bench.stats import percentile
from bench.stub import Stub
from bench.tabs import Tabs

TABS, RATE, ROUNDS, SECONDS = 20, 100.0, 5, 60.0
RATIO, GROWN, EVENTS_S = 1.3, 0.05, 0.8
_LIMIT_S = 30.0


@dataclass(slots=True)
class _Found:
    """`p99`: per round and whether tabs were open, in seconds; `direct`: of the backend itself;
    `rss`: at the end of each part with tabs, in MB."""

    p50: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    p99: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    direct: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    failures: int = 0
    fewest_events: float = float("inf")  # `live`, per second and tab
    problems: list[str] = field(default_factory=list)


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """One router with two workers, as shipped, before the stub; without and with tabs, in turn."""
    tabs, rounds, seconds = (3, 1, 2.0) if args.quick else (TABS, ROUNDS, SECONDS)
    title = f"{tabs} open tabs beside {RATE:g} requests/s, 2 workers, rounds of {seconds:g} s"
    columns = ("", "requests", "p50 ms", "p99 ms", "failures", "RSS MB")
    table, found = Result("dashboard", title, columns), _Found()
    promises = Promises("dashboard", "What is promised with these tabs")
    with ExitStack() as stack, sampler.interruptible(), promises.answered():
        stub = stack.enter_context(Stub())
        folder = scratch_folder(stack, "dashboard")
        config = {"server": {"workers": 2}}
        router = stack.enter_context(router_before(stub, folder, config, slots=4096))
        endpoint = Endpoint.of(router.url)
        direct = Endpoint.of(stub.url("primary"))
        wire = endpoint.chat(body(SHORT_TEXT, "ai-router/primary"))
        _loaded(endpoint, wire, seconds / 4)  # models learned, code paths warm
        for turn in range(rounds):
            found.direct += _p99(_loaded(direct, direct.chat(body(SHORT_TEXT, "m")), seconds / 10))
            for watched in (False, True) if turn % 2 == 0 else (True, False):
                name = f"round {turn + 1}: {'with' if watched else 'without'} them"
                sampler.row(name)
                open_tabs = Tabs(endpoint, tabs)
                with open_tabs if watched else nullcontext():
                    answers = _loaded(endpoint, wire, seconds)
                    memory = rss_mb(router.workers)
                good = [one.seconds for one in answers if one.status == 200]
                quantiles = [percentile(good, q) if good else None for q in (0.5, 0.99)]
                found.p50[watched] += [q for q in quantiles[:1] if q is not None]
                found.p99[watched] += [q for q in quantiles[1:] if q is not None]
                failures = len(answers) - len(good)
                found.failures += failures
                if watched:
                    found.rss += [] if memory is None else [memory]
                    _count(found, open_tabs, seconds)
                table.add(
                    (name, str(len(answers)), *map(ms, quantiles), str(failures),
                     number(memory, 0)),
                    watched=watched, p50_s=quantiles[0], p99_s=quantiles[1], failures=failures,
                    rss_mb=memory,
                )  # fmt: skip
        judge(promises, found)
    return [result for result in (table, promises.result) if result.rows]


def _loaded(endpoint: Endpoint, wire: bytes, seconds: float) -> list[Answer]:
    return send(endpoint, [wire] * max(1, int(RATE * seconds)), _LIMIT_S, RATE)


def _p99(answers: Sequence[Answer]) -> list[float]:
    good = [one.seconds for one in answers if one.status == 200]
    return [percentile(good, 0.99)] if good else []


def _count(found: _Found, tabs: Tabs, seconds: float) -> None:
    fewest = min((seen.get("live", 0) for seen in tabs.events), default=0)
    found.fewest_events = min(found.fewest_events, fewest / seconds)
    found.problems += tabs.problems


def judge(promises: Promises, found: _Found) -> None:
    """Add the verdicts."""
    check = promises.check
    promises.count("requests that failed", found.failures)
    promises.count("tabs that lost their connection", len(found.problems))
    check(
        "events per second and tab, the fewest", f"≥ {EVENTS_S:g}",
        number(found.fewest_events, 2), found.fewest_events >= EVENTS_S,
        events_s=found.fewest_events,
    )  # fmt: skip
    floor = percentile(found.direct, 0.5) if found.direct else 0.0
    added = {
        watched: percentile([max(1e-6, p99 - floor) for p99 in values], 0.5) if values else None
        for watched, values in found.p99.items()
    }
    without, beside = added[False], added[True]
    ratio = beside / without if beside and without else float("inf")
    check(
        "added p99 with : without them", f"≤ {RATIO:g}",
        f"{number(ratio, 2)} ({ms(beside)} : {ms(without)} ms)", ratio <= RATIO,
        ratio=ratio, with_s=beside, without_s=without, p99=found.p99, direct=found.direct,
    )  # fmt: skip
    first, last = (found.rss[0], found.rss[-1]) if found.rss else (0.0, 0.0)
    grown = last / first - 1 if first else float("inf")
    check(
        "RSS of the workers, last part with them : first", f"≤ +{GROWN:.0%}",
        f"{first:.0f} → {last:.0f} MB ({grown:+.1%})", grown <= GROWN, rss_mb=found.rss,
    )  # fmt: skip
