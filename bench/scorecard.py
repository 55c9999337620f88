"""Two OpenAI backends, the limits as shipped: what sixteen faults of the first lead to, streaming
and not."""

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from bench.accounting import account
from bench.chain import Chain, Tier, chain
from bench.client import Answer, Failure
from bench.fault_cases import EITHER, ERROR, TOKENS
from bench.faults import WORDS
from bench.outcome import Card, Outcome, as_promised, outcome_of
from bench.result import NOTHING, Promises, Result
from bench.sampling import Sampler
from bench.scorecard_cases import (
    FIRST_CONTENT_S,
    FLAP_REQUESTS,
    FLAP_S,
    SCENARIOS,
    TOTAL_TIMEOUT_S,
    Scenario,
)

TEXT = "Tell me something about rivers."
COLUMNS = ("first tier", "mode", "outcome", "promised", "first content s", "s", "1st saw",
    "2nd saw", "ok")  # fmt: skip
_AT_ONCE = 8  # cases; they wait for the most part
_STARTING = 2  # stands that start at once: that is work
_FLAP_DOWN_S, _FLAP_UP_S = 4.0, 6.0  # up for longer than between two probes: traffic returns
_MARGIN_S = 30.0  # beyond what is promised, until a request is given up as hung
_MANNERS = {"answer_short": TOKENS, "tps": 500, "prefill": "continue"}
_MODEL = "simulated-model"  # of both tiers: the text that one has begun is the text that the other goes on with


def tiers(scenario: Scenario) -> tuple[Tier, Tier]:
    """Two local servers behind OpenAI's API that go on from an assistant's message. Every limit is
    the shipped one."""
    config = {"kind": "openai", "local": True, "api_key": "test-key", "continues": "prefill"}
    first, second = ({**_MANNERS, **own} for own in (scenario.first, scenario.second))
    return (
        Tier("first", "xai", _MODEL, config, first),
        Tier("second", "xai", _MODEL, config, second),
    )


@dataclass(slots=True)
class Found:
    """What a case has shown. `wrong`: what else the router must not do, a sentence each."""

    answers: list[Answer]
    first_saw: int
    second_saw: int
    left_behind: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def worst(self) -> Answer:
        order = list(Outcome)
        return max(self.answers, key=lambda answer: order.index(outcome_of(answer, WORDS)))

    @property
    def outcome(self) -> Outcome:
        """The worst of its answers'."""
        return outcome_of(self.worst, WORDS)

    @property
    def first_content(self) -> float | None:
        times = [at for answer in self.answers if (at := answer.first_content) is not None]
        return max(times, default=None)

    @property
    def seconds(self) -> float:
        return max(answer.seconds for answer in self.answers)


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """The scorecard, and the promises drawn from it. Each case has a stand of its own, so that none
    waits for another."""
    cases = [
        (scenario, stream)
        for scenario in SCENARIOS
        if scenario.quick or not args.quick
        for stream in (True, False)
    ]
    card = _Card(Result("scorecard", "Two OpenAI backends, the limits as shipped", COLUMNS))
    stands = _Stands()
    longest_first = sorted(cases, key=lambda case: -case[0].waits[not case[1]])
    slowest, stream = longest_first[0]
    expected = max(slowest.waits[not stream] + 15, 4.0 * len(cases) / _STARTING)
    sampler.meter.start("scorecard", expected)
    found: dict[tuple[str, bool], Found | str] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = {pool.submit(stands.run, *case): case for case in longest_first}
        with sampler.interruptible():
            for done in as_completed(jobs):
                scenario, stream = jobs[done]
                sampler.meter.row(f"{len(found) + 1} of {len(cases)} cases", 0)
                try:
                    found[scenario.name, stream] = done.result()
                except (Failure, OSError, RuntimeError, TimeoutError, ValueError) as error:
                    found[scenario.name, stream] = f"{type(error).__name__}: {error}"
        if sampler.interrupted:
            pool.shutdown(wait=False, cancel_futures=True)
            stands.stop()
    for scenario, stream in cases:
        if (scenario.name, stream) in found:
            card.add(scenario, stream, found[scenario.name, stream])
    card.table.notes += [
        "1st, 2nd saw: generation requests that reached the tier (one that is refused or reset on connecting does not)",
        "first content: of several requests the latest; not streamed, it is there with all of the answer",
    ]
    return [card.table, card.promises().result]


class _Stands:
    """Runs cases, each on a chain of its own; can end them all."""

    def __init__(self) -> None:
        self._starting = threading.Semaphore(_STARTING)
        self._running: set[ExitStack] = set()
        self._stopped = threading.Event()

    def run(self, scenario: Scenario, stream: bool) -> Found:
        with ExitStack() as stack:
            with self._starting:
                if self._stopped.is_set():
                    raise Failure("interrupted")
                try:
                    where = stack.enter_context(chain(tiers(scenario), {}))
                except (OSError, RuntimeError):  # too much at once for a small machine
                    where = stack.enter_context(chain(tiers(scenario), {}))
            self._running.add(stack)
            try:
                where.reset()
                found = _CASES.get(scenario.special, _one)(where, scenario, stream, self._stopped)
                found.left_behind = where.slots_in_use()
                return found
            finally:
                self._running.discard(stack)

    def stop(self) -> None:
        """Stop what was started: requests that wait for it end."""
        self._stopped.set()
        for stack in tuple(self._running):
            with suppress(OSError, RuntimeError):
                stack.close()


def _limit(scenario: Scenario, stream: bool) -> float:
    return (60.0 if stream else scenario.plain_within) + _MARGIN_S


def _one(where: Chain, scenario: Scenario, stream: bool, _stopped: threading.Event) -> Found:
    """One request while the faults last."""
    for fault in scenario.faults_of(stream):
        where.fault(fault.tier, fault.name, **fault.params)
    answer = where.ask(TEXT, limit=_limit(scenario, stream), stream=stream)
    found = Found([answer], where.seen("first"), where.seen("second"))
    if scenario.code:
        payload = answer.payload()
        error = payload.get("error") if isinstance(payload, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        if (answer.status, code) != (400, scenario.code):
            found.wrong.append(f"refused with status {answer.status} and code {code}")
        if found.second_saw:
            found.wrong.append("the second tier was asked though the request was refused")
    return found


def _flapping(where: Chain, scenario: Scenario, stream: bool, stopped: threading.Event) -> Found:
    """Requests at a steady rate while the first tier is killed and started over and over."""
    over = threading.Event()
    first_saw: list[int] = []  # it counts from zero each time it starts

    def flap() -> None:
        while not over.wait(_FLAP_UP_S):
            first_saw.append(where.seen("first"))
            where.kill("first")
            over.wait(_FLAP_DOWN_S)
            where.revive("first")

    begun, limit = time.monotonic(), _limit(scenario, stream)
    with ThreadPoolExecutor(FLAP_REQUESTS + 1) as pool:
        flapping = pool.submit(flap)
        asked = []
        try:
            for i in range(FLAP_REQUESTS):
                due = begun + i * FLAP_S / FLAP_REQUESTS
                if stopped.wait(max(0.0, due - time.monotonic())):
                    raise Failure("interrupted")
                asked.append(pool.submit(where.ask, TEXT, limit=limit, stream=stream))
            answers = [one.result() for one in asked]
        finally:
            over.set()
            flapping.result()
    return Found(answers, sum(first_saw) + where.seen("first"), where.seen("second"))


def _accounting(where: Chain, scenario: Scenario, stream: bool, _: threading.Event) -> Found:
    answers, seen, wrong = account(where, stream, _limit(scenario, stream))
    # Some of its requests are refused on purpose; what each answer should be is not this case's
    # question.
    return Found(answers, seen["first"], seen["second"], wrong=wrong)


_CASES: dict[str, Callable[[Chain, Scenario, bool, threading.Event], Found]] = {
    "flapping": _flapping,
    "accounting": _accounting,
}


class _Card(Card):
    def __init__(self, table: Result) -> None:
        super().__init__(table)
        self._kept: dict[tuple[bool, bool], list[bool]] = {}  # by (beyond the sixteen, streamed)
        self._first: list[tuple[float, str]] = []
        self._silent: float | None = None

    def add(self, scenario: Scenario, stream: bool, found: Found | str) -> None:
        mode = "stream" if stream else "whole"
        kept = self._kept.setdefault((scenario.extra, not stream), [])
        if isinstance(found, str):
            kept.append(False)
            cells = (scenario.name, mode, "not run", *[NOTHING] * 5, "NO")
            self.table.add(cells, mode=mode, kept=False)
            self.table.notes.append(f"{scenario.name} ({mode}): {found[:300]}")
            return
        agreeing = scenario.special == "accounting"
        wrong = [*found.wrong, *self._late(scenario, stream, found)]
        promised = EITHER if agreeing else scenario.promised(stream)
        good = as_promised(found.outcome, promised) and not wrong
        kept.append(good)
        self.outcomes.update(outcome_of(answer, WORDS) for answer in found.answers)
        self.left_behind += found.left_behind
        first = found.first_content
        if stream and first is not None:
            self._first.append((first, scenario.name))
        if not stream and scenario.waits[1] >= TOTAL_TIMEOUT_S:
            self._silent = found.seconds
        outcome = said(str(found.outcome)) if promised == ERROR else str(found.outcome)
        if agreeing:
            outcome, promised = "disagrees" if found.wrong else "agrees", "agrees"
        shown = f"{mode} (no effect)" if scenario.no_effect and not stream else mode
        self.table.add(
            (scenario.name, shown, outcome, said(promised),
             NOTHING if first is None else f"{first:.2f}", f"{found.seconds:.2f}",
             str(found.first_saw), str(found.second_saw), "yes" if good else "NO"),
            mode=mode, outcome=outcome, promised=said(promised), first_content_s=first,
            seconds=found.seconds, first_saw=found.first_saw, second_saw=found.second_saw,
            requests=len(found.answers), extra=scenario.extra, wrong=wrong, kept=good,
        )  # fmt: skip
        if not good:
            self.explain(f"{scenario.name} ({mode})", found.worst, "; ".join(wrong))

    @staticmethod
    def _late(scenario: Scenario, stream: bool, found: Found) -> list[str]:
        if stream:
            late = (found.first_content or 0.0) > FIRST_CONTENT_S
            return [f"text after {found.first_content:.1f} s"] if late else []
        within = scenario.plain_within
        return [] if found.seconds <= within else [f"{found.seconds:.1f} s, promised {within:g} s"]

    def promises(self) -> Promises:
        found = Promises("scorecard", "What was promised")
        for (extra, plain), kept in sorted(self._kept.items()):
            what = "beyond the sixteen" if extra else "whole or rightly refused"
            mode = "not streamed" if plain else "streaming"
            found.check(
                f"{what}, {mode}", f"{len(kept)} of {len(kept)}", f"{sum(kept)} of {len(kept)}",
                all(kept)
            )  # fmt: skip
        self.judge(found)
        if self._first:
            longest, name = max(self._first)
            found.check(
                "first content of a stream", f"≤ {FIRST_CONTENT_S:g} s",
                f"{longest:.1f} s at most ({name})",
                longest <= FIRST_CONTENT_S, seconds=longest,
            )  # fmt: skip
        if self._silent is not None:
            found.note(
                "a silent backend costs a whole answer its total_timeout",
                f"{self._silent:.0f} s of {TOTAL_TIMEOUT_S:g} s"
            )  # fmt: skip
        return found


def said(promised: str) -> str:
    """What a table says of a promise: an error that is rightly given is a refusal."""
    return "refused" if promised == ERROR else promised
