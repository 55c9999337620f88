"""Whether what the router says about its failovers (headers, session files, metrics) is what its
backends have seen."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench.card import TEXT
from bench.chain import Chain
from bench.client import Answer
from bench.fault_cases import MIDDLE, Fault, status
from bench.stand import session

_WAIT_S = 5.0
_REQUESTS = "airouter_requests_total"

# One request each: what is wrong meanwhile. A failure is followed by a success, so that no tier is
# set aside.
_CUT = Fault("cut", {"after_chunks": MIDDLE, "times": 1})
STEPS: tuple[tuple[str, tuple[Fault, ...]], ...] = (
    ("nothing fails", ()),
    ("429", (status(429),)),
    ("one 500", (status(500, times=1),)),
    ("cut", (_CUT,)),
    ("cut, and a 503 when it is to continue", (_CUT, status(503, skip=1))),
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
