"""ai-router under load by route, workers and concurrency, and whether there is a session file for
each request that it answered."""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.crowd import drive
from bench.peers.gateways import AiRouter
from bench.peers.measures import load_of
from bench.peers.table import Findings
from bench.result import NOTHING, Promises, Result, ms, number

LEVELS = (64, 256)
ROUTES = ("learned", "explicit")
_WRITTEN_S, _PAUSE_S = 15.0, 1.0


def _names(route: str, users: int) -> tuple[str, str, str]:
    """Of the measures; those of the learned tier at 64 are everybody's."""
    if (route, users) == ("learned", 64):
        return "requests_per_s", "loaded_p50", "loaded_p99"
    return f"{route}_{users}_per_s", f"{route}_{users}_p50", f"{route}_{users}_p99"


def levels(findings: Findings, router: AiRouter, text: str, seconds: float, warm_up: float) -> None:
    """A round of all routes and levels, but for the one that `measures.throughput` takes."""
    for route in ROUTES:
        model = router.explicit_model if route == "explicit" else ""
        for users in LEVELS:
            names = _names(route, users)
            if names[0] != "requests_per_s":
                wire = router.chat(text, model=model)
                load_of(findings, router, wire, users, seconds, warm_up, names)


def table(findings: Findings, routers: Sequence[AiRouter]) -> Result:
    columns = ("", "at a time", "requests/s", "p50 ms", "p99 ms")
    result = Result("peers", "ai-router under load, by route and workers", columns)
    for route in ROUTES:
        for router in routers:
            for users in LEVELS:
                names = _names(route, users)
                rate, p50, p99 = (findings.value(name, router.key) for name in names)
                if rate is None:
                    continue
                result.add(
                    (f"{router.key}, {route}", str(users), number(rate, 0), ms(p50), ms(p99)),
                    contender=router.key, route=route, workers=router.workers, at_once=users,
                    rate=rate, p50_s=p50, p99_s=p99,
                    rounds={name: findings.rounds[name].get(router.key) for name in names},
                )  # fmt: skip
    result.notes.append(
        "learned: the learned tier decides each request; explicit: the request names its backend; "
        "medians of the rounds"
    )
    return result


def records(routers: Sequence[AiRouter], folder: Path, text: str, seconds: float) -> Result:
    """Start each of these, which keep all session files, ask with 64 users by the explicit route,
    the fastest, and count the files.

    Raises:
        NotInstalled: one does not start.
    """
    promises = Promises("peers", "A session file for each request, explicit route, 64 at a time")
    for router in routers:
        try:
            router.start(folder / f"records-{router.workers}")
            wire = router.chat(text, model=router.explicit_model)
            before = _settled(router)
            load = drive(router.endpoint, wire, LEVELS[0], seconds, 0.0)
            written = _settled(router) - before
        finally:
            router.stop()
        what, rate = f"{router.key}: session files", len(load.latencies) / load.seconds
        of = f"{load.answered:,} answered, {number(rate, 0)}/s"
        # Those whose clients left may have one, too.
        kept = load.answered <= written <= load.answered + load.abandoned
        promises.check(
            what, of, f"{written:,}", kept, answered=load.answered, abandoned=load.abandoned,
            files=written, requests_per_s=rate,
        )  # fmt: skip
        if load.failures:
            promises.note(f"{router.key}: failed", f"{load.failures}: {load.first_failure[:120]}")
    if not routers:
        promises.note("no router", NOTHING)
    return promises.result


def _files(router: AiRouter) -> int:
    return sum(1 for _ in router.sessions.glob("*.json")) if router.sessions.exists() else 0


def _settled(router: AiRouter) -> int:
    """How many session files there are, once their number does not grow any more."""
    until, before, found = time.monotonic() + _WRITTEN_S, -1, _files(router)
    while found != before and time.monotonic() < until:
        time.sleep(_PAUSE_S)
        before, found = found, _files(router)
    return found
