"""Two OpenAI backends, the limits as shipped: what sixteen faults of the first lead to, streaming
and not."""

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress

from bench import card
from bench.accounting import account
from bench.card import Card, Found
from bench.chain import Chain, Tier, chain
from bench.client import Failure
from bench.fault_cases import TOKENS, Case
from bench.result import Result
from bench.sampling import Sampler
from bench.scorecard_cases import FLAP_REQUESTS, FLAP_S, SCENARIOS, SILENT, TOTAL_TIMEOUT_S

_AT_ONCE = 8  # cases; they wait for the most part
_STARTING = 2  # stands that start at once: that is work
_FLAP_DOWN_S, _FLAP_UP_S = 4.0, 6.0  # up for longer than between two probes: traffic returns
_MARGIN_S = 30.0  # beyond what is promised, until a request is given up as hung
_MANNERS = {"answer_short": TOKENS, "tps": 500, "prefill": "continue"}
# Of both tiers: the text that one has begun is the text that the other continues.
_MODEL = "simulated-model"


def tiers(case: Case) -> tuple[Tier, Tier]:
    """Two local servers with OpenAI's API that continue an assistant's message. Every limit is the
    shipped one."""
    config = {"kind": "openai", "local": True, "api_key": "test-key", "continues": "prefill"}
    return (
        Tier("first", "xai", _MODEL, config, {**_MANNERS, **case.first}),
        Tier("second", "xai", _MODEL, config, {**_MANNERS, **case.second}),
    )


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """The scorecard, and the promises drawn from it. Each case has a stand of its own, so that none
    waits for another."""
    scenarios = [case for case in SCENARIOS if case.quick or not args.quick]
    cases = [(case, stream) for case in scenarios for stream in (True, False)]
    found: dict[tuple[str, bool], Found | str] = {}
    stands = _Stands()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        slowest_first = sorted(cases, key=lambda one: -one[0].waits)
        jobs = {pool.submit(stands.run, *one): one for one in slowest_first}
        with sampler.interruptible():
            for done in as_completed(jobs):
                case, stream = jobs[done]
                sampler.row(f"{len(found) + 1} of {len(cases)} cases")
                try:
                    found[case.name, stream] = done.result()
                except (Failure, OSError, RuntimeError, TimeoutError, ValueError) as error:
                    found[case.name, stream] = f"{type(error).__name__}: {error}"
        if sampler.interrupted:
            pool.shutdown(wait=False, cancel_futures=True)
            stands.stop()
    shown = Card("scorecard", "Two OpenAI backends, the limits as shipped")
    for case, stream in cases:
        if (case.name, stream) in found:
            shown.add(case, stream, found[case.name, stream])
    results = shown.results()
    silent = found.get((SILENT, False))
    if isinstance(silent, Found):
        shown.promises.note(
            "a silent backend costs a whole answer its total_timeout",
            f"{silent.seconds:.0f} s of {TOTAL_TIMEOUT_S:g} s",
        )
    return results


class _Stands:
    """Runs cases, each on a chain of its own; can end them all."""

    def __init__(self) -> None:
        self._starting = threading.Semaphore(_STARTING)
        self._running: set[ExitStack] = set()
        self._stopped = threading.Event()

    def run(self, case: Case, stream: bool) -> Found:
        with ExitStack() as stack:
            with self._starting:
                if self._stopped.is_set():
                    raise Failure("interrupted")
                where = stack.enter_context(chain(tiers(case), {}))
            self._running.add(stack)
            stack.callback(self._running.discard, stack)
            where.reset()
            found = _CASES.get(case.special, _one)(where, case, stream, self._stopped)
            found.left_behind = where.slots_in_use()
            return found

    def stop(self) -> None:
        """Stop what was started: requests that wait for it end."""
        self._stopped.set()
        for stack in tuple(self._running):
            with suppress(OSError, RuntimeError):
                stack.close()


def _limit(case: Case, stream: bool) -> float:
    return (60.0 if stream else case.plain_within) + _MARGIN_S


def _one(where: Chain, case: Case, stream: bool, _stopped: threading.Event) -> Found:
    return card.ask(where, case, stream, _limit(case, stream))


def _flapping(where: Chain, case: Case, stream: bool, stopped: threading.Event) -> Found:
    """Requests at a steady rate while the first tier is killed and started over and over."""
    over = threading.Event()
    first_saw: list[int] = []  # it counts from zero each time it starts

    def flap() -> None:
        while not over.wait(_FLAP_UP_S):
            first_saw.append(where.seen("first"))
            where.kill("first")
            over.wait(_FLAP_DOWN_S)
            where.revive("first")

    begun, limit = time.monotonic(), _limit(case, stream)
    with ThreadPoolExecutor(FLAP_REQUESTS + 1) as pool:
        flapping = pool.submit(flap)
        asked = []
        try:
            for i in range(FLAP_REQUESTS):
                due = begun + i * FLAP_S / FLAP_REQUESTS
                if stopped.wait(max(0.0, due - time.monotonic())):
                    raise Failure("interrupted")
                asked.append(pool.submit(where.ask, card.TEXT, limit=limit, stream=stream))
            answers = [one.result() for one in asked]
        finally:
            over.set()
            flapping.result()
    return Found(answers, sum(first_saw) + where.seen("first"), where.seen("second"))


def _accounting(where: Chain, case: Case, stream: bool, _stopped: threading.Event) -> Found:
    answers, seen, wrong = account(where, stream, _limit(case, stream))
    return Found(answers, seen["first"], seen["second"], wrong=wrong)


_CASES: dict[str, Callable[[Chain, Case, bool, threading.Event], Found]] = {
    "flapping": _flapping,
    "accounting": _accounting,
}
