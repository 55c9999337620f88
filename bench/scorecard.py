"""What faults of the first of two tiers lead to, streaming and not: `./Benchmark scorecard` (two
OpenAI backends, the limits as shipped, sixteen faults; and whether what the router says about its
failovers is what its backends have seen) and `./Benchmark faults`."""

import argparse
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from typing import Any

from bench import apis
from bench.card import TEXT, Card, Found, ask
from bench.client import Answer, Failure
from bench.fault_cases import (
    CASES,
    CUT,
    FLAP_REQUESTS,
    FLAP_S,
    SCENARIOS,
    SILENT,
    TOKENS,
    TOTAL_TIMEOUT_S,
    Case,
    Fault,
    status,
)
from bench.result import Result, Sampler
from bench.stand import Chain, Tier, chain, session

_WAIT_S = 5.0
_REQUESTS = "airouter_requests_total"

# One request each: what is wrong meanwhile. A failure is followed by a success, so that no tier is
# set aside.
STEPS: tuple[tuple[str, tuple[Fault, ...]], ...] = (
    ("nothing fails", ()),
    ("429", (status(429),)),
    ("one 500", (status(500, times=1),)),
    ("cut", (CUT,)),
    ("cut, and a 503 when it is to continue", (CUT, status(503, skip=1))),
    ("refused", (status(400),)),
    ("nothing fails any more", ()),
    ("both 429", (status(429), Fault("error_status", {"status": 429}, "second"))),
)


def account(
    where: Chain, stream: bool, limit: float
) -> tuple[list[Answer], Counter[str], list[str]]:
    """Ask once for each step.

    Returns:
        The answers, how many requests each tier has seen, and a sentence for each thing that was
        not as the router says.
    """
    total: Counter[str] = Counter()
    answers: list[Answer] = []
    wrong: list[str] = []
    records: Counter[tuple[str, str]] = Counter()
    before = _counted(where)
    for name, faults in STEPS:
        where.reset()
        for fault in faults:
            where.fault(fault.tier, fault.name, **fault.params)
        answer = where.ask(TEXT, limit=limit, stream=stream)
        answers.append(answer)
        seen = {tier: where.seen(tier) for tier in where.tiers}
        total.update(seen)
        record = session(where.router.log_dir, answer.headers.get("x-router-session", ""))
        if record is None:
            wrong.append(f"{name}: no session file")
            continue
        records[record.get("backend") or "none", record["outcome"]] += 1
        wrong += [f"{name}: {problem}" for problem in contradictions(answer, record, seen)]
    where.reset()
    until = time.monotonic() + _WAIT_S
    while (counted := _counted(where) - before) != records and time.monotonic() < until:
        time.sleep(0.05)
    if counted != records:
        wrong.append(f"{_REQUESTS}: {dict(counted)}, session files: {dict(records)}")
    return answers, total, wrong


def contradictions(answer: Answer, record: Mapping[str, Any], seen: Mapping[str, int]) -> list[str]:
    """What of an answer's headers and its record disagrees with the requests that each tier has
    seen. Pure."""
    told = Counter(attempt.partition(":")[0] for attempt in record["attempts"])
    # A stream's headers are sent before it is continued: they hold the record's first attempts.
    header, attempts = answer.headers.get("x-router-attempts", ""), ", ".join(record["attempts"])
    backend, served = answer.headers.get("x-router-backend"), answer.status == 200
    errors = not served or any(
        isinstance(event, dict) and "error" in event for event in answer.events()
    )
    got = "an error" if errors else "all of it"
    silent = len(record["attempts"]) > 1 and not header and not served
    by_another = served and (backend != record["backend"] or not seen.get(backend or ""))
    asked = Counter({tier: count for tier, count in seen.items() if count})
    found = {
        f"attempts {list(record['attempts'])}, but the tiers have seen {dict(seen)}": told != asked,
        f"X-Router-Attempts {header!r}, session file {attempts!r}": not attempts.startswith(header),
        "an error without X-Router-Attempts": silent,
        f"status {answer.status}, session file {record['status']}": (
            record["status"] != answer.status
        ),
        f"X-Router-Backend {backend}, session file {record['backend']}, seen {dict(seen)}": (
            by_another
        ),
        f"outcome {record['outcome']!r}, but the client got {got}": (
            errors == (record["outcome"] == "ok")
        ),
    }
    return [problem for problem, wrong in found.items() if wrong]


def _counted(where: Chain) -> Counter[tuple[str, str]]:
    """Finished requests by backend and outcome, as the metrics have them."""
    found: Counter[tuple[str, str]] = Counter()
    for sample in where.router.samples(_REQUESTS):
        found[sample.labels["backend"], sample.labels["outcome"]] += int(sample.value)
    return found


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
    stands = _Stands(apis.of(args))
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

    def __init__(self, api: apis.Api) -> None:
        self._api = api
        self._starting = threading.Semaphore(_STARTING)
        self._running: set[ExitStack] = set()
        self._stopped = threading.Event()

    def run(self, case: Case, stream: bool) -> Found:
        with ExitStack() as stack:
            with self._starting:
                if self._stopped.is_set():
                    raise Failure("interrupted")
                where = stack.enter_context(chain(tiers(case), {}, self._api))
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
    return ask(where, case, stream, _limit(case, stream))


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
                asked.append(pool.submit(where.ask, TEXT, limit=limit, stream=stream))
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


# ./Benchmark faults: every fault of the simulator, against a chain of two tiers -------------------

_HUNG_S = 10.0  # longer than the router's own limits over both tiers taken together: then it hangs

# Short limits, so that a run takes a minute; what is compared is what comes out, not how long the
# limits are.
_LIMITS = {
    "connect_timeout": 1, "first_byte_timeout": 0.6, "idle_timeout": 0.6, "total_timeout": 2,
    "allowed_fails": 1, "cooldown": 0.2, "breaker_fails": 5, "breaker_reset": 0.5,
}  # fmt: skip
_CONFIG = {
    "probes": {"enabled": False},  # each fault is to be found by the request itself
    "queue": {"hold_wait": 0.5},
    "timeouts": {"total": 8},
}
_FAST = {"answer_short": TOKENS, "tps": 500, "ttft_ms": 10, "ttft_nonstream_ms": 10}


def _chain_of(then_ollama: bool) -> tuple[Tier, Tier]:
    """A vLLM, and a vLLM with a larger window or an Ollama."""
    role = "ollama" if then_ollama else "primary"
    small, large = ({**_LIMITS, "context_window": window} for window in (32_768, 131_072))
    return (
        Tier("first", "primary", "first-model", small, _FAST),
        Tier("second", role, "second-model", large, _FAST),
    )


def faults(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """The scorecard, and the promises drawn from it."""
    cases = [case for case in CASES if case.quick or not args.quick]
    effective = sum(1 if case.only else 2 for case in cases)
    table = Card(
        "faults",
        f"{2 * len(cases)} combinations of fault and mode, two tiers "
        f"({effective} in which the fault has something to act on)",
    )
    with sampler.interruptible(), table.promises.answered():
        for then_ollama in dict.fromkeys(case.then_ollama for case in cases):
            with chain(_chain_of(then_ollama), _CONFIG, apis.of(args)) as where:
                for case in (case for case in cases if case.then_ollama == then_ollama):
                    for stream in (True, False):
                        sampler.row(f"{case.name}, {'streaming' if stream else 'whole'}")
                        where.recovered()
                        if case.faults[0].name == "reset_before_read":
                            # It acts on new connections only: have the router lose its own.
                            where.fault("first", "refuse")
                            where.simulators["first"].accept("primary")
                        table.add(case, stream, ask(where, case, stream, _HUNG_S))
                table.left_behind += where.slots_in_use()
    return table.results()
