"""Whether what the router says about its failovers (headers, session files, metrics) is what its backends have seen."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from bench.ask import Answer
from bench.chain import Chain
from bench.fault_cases import MIDDLE
from bench.scorecard_cases import Fault, status

_SESSION_WAIT_S = 5.0
_REQUESTS = "airouter_requests_total"

# One request each: what is wrong meanwhile. A failure is followed by a success, so that no tier is set aside.
STEPS: tuple[tuple[str, tuple[Fault, ...]], ...] = (
    ("nothing fails", ()),
    ("429", (status(429),)),
    ("one 500", (status(500, times=1),)),
    ("cut", (Fault("cut", {"after_chunks": MIDDLE, "times": 1}),)),
    (
        "cut, and a 503 when it is to continue",
        (Fault("cut", {"after_chunks": MIDDLE, "times": 1}), status(503, skip=1)),
    ),
    ("refused", (status(400),)),
    ("nothing fails any more", ()),
    ("both 429", (status(429), Fault("error_status", {"status": 429}, "second"))),
)


def account(
    where: Chain, stream: bool, limit: float
) -> tuple[list[Answer], Counter[str], list[str]]:
    """Ask once for each step.

    Returns:
        The answers, how many requests each tier has seen, and a sentence for each thing that the router says otherwise
        than it was.
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
        answer = where.ask("Tell me something about rivers.", limit=limit, stream=stream)
        answers.append(answer)
        seen = {tier: where.seen(tier) for tier in where.tiers}
        total.update(seen)
        record = _record(where, answer.headers.get("x-router-session", ""))
        if record is None:
            wrong.append(f"{name}: no session file")
            continue
        records[record.get("backend") or "none", record["outcome"]] += 1
        wrong += [f"{name}: {problem}" for problem in contradictions(answer, record, seen)]
    where.reset()
    until = time.monotonic() + _SESSION_WAIT_S
    while (counted := _counted(where) - before) != records and time.monotonic() < until:
        time.sleep(0.05)
    if counted != records:
        wrong.append(f"{_REQUESTS}: {dict(counted)}, session files: {dict(records)}")
    return answers, total, wrong


def contradictions(answer: Answer, record: Mapping[str, Any], seen: Mapping[str, int]) -> list[str]:
    """What of an answer's headers and its record disagrees with the requests that each tier has seen. Pure."""
    wrong = []
    told = Counter(attempt.partition(":")[0] for attempt in record["attempts"])
    if told != Counter({tier: count for tier, count in seen.items() if count}):
        wrong.append(f"attempts {list(record['attempts'])}, but the tiers have seen {dict(seen)}")
    # A stream's headers are out before it is continued, so they hold the first of the record's attempts.
    header, attempts = answer.headers.get("x-router-attempts", ""), ", ".join(record["attempts"])
    if not attempts.startswith(header):
        wrong.append(f"X-Router-Attempts {header!r}, session file {attempts!r}")
    if len(record["attempts"]) > 1 and not header and answer.status != 200:
        wrong.append("an error without X-Router-Attempts")
    if record["status"] != answer.status:
        wrong.append(f"status {answer.status}, session file {record['status']}")
    backend = answer.headers.get("x-router-backend")
    if answer.status == 200 and (backend != record["backend"] or not seen.get(backend or "")):
        wrong.append(
            f"X-Router-Backend {backend}, session file {record['backend']}, seen {dict(seen)}"
        )
    errors = answer.status != 200 or any(
        isinstance(event, dict) and "error" in event for event in answer.events()
    )
    if errors == (record["outcome"] == "ok"):
        wrong.append(
            f"outcome {record['outcome']!r}, but the client got {'an error' if errors else 'all of it'}"
        )
    return wrong


def _record(where: Chain, id8: str) -> Mapping[str, Any] | None:
    assert where.router is not None
    until = time.monotonic() + _SESSION_WAIT_S
    while id8.isalnum() and time.monotonic() < until:
        for path in (where.router.log_dir / "sessions").glob(f"*_{id8}.json"):
            found: Mapping[str, Any] = orjson.loads(path.read_bytes())
            return found
        time.sleep(0.01)
    return None


def _counted(where: Chain) -> Counter[tuple[str, str]]:
    """Finished requests by backend and outcome, as the metrics have them."""
    assert where.router is not None
    found: Counter[tuple[str, str]] = Counter()
    for line in where.router.get("/metrics").text.splitlines():
        sample, _, value = line.rpartition(" ")
        name, _, labels = sample.partition("{")
        if name == _REQUESTS:
            pairs = dict(pair.split("=", 1) for pair in labels.rstrip("}").split(","))
            found[pairs["backend"].strip('"'), pairs["outcome"].strip('"')] += int(float(value))
    return found
