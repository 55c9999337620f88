"""More requests than the backend can serve: those it takes stay fast, the others are told so soon,
and it recovers by itself."""

import argparse
import time

from bench.client import Answer, Connection
from bench.crowd import send
from bench.options import Options
from bench.prompts import SHORT_TEXT, body
from bench.result import NOTHING, Promises, Result, Sampler, ms, number, spread
from bench.stand import Chain, Tier, chain
from bench.stats import percentile, summarise

SLOTS, SERVICE_MS = 4, 100
QUEUE, WAIT_S = 64, 5.0  # the defaults of the settings
LEVELS, QUICK_LEVELS = (1, 2, 5, 10), (1, 10)
SECONDS, REST_S = 15.0, 10.0
REJECTED_S = 5.1
LIMIT_S = 30.0
COLUMNS = (
    "load", "offered/s", "served/s", "served p50 ms", "p95 ms", "429/503 %", "their p95 ms",
    "longest",
    "Retry-After", "no answer",
)  # fmt: skip
_MANNERS = {
    "slots": SLOTS, "answer_short": 20, "ttft_ms": SERVICE_MS, "ttft_nonstream_ms": SERVICE_MS,
    "tps": 0,
}  # fmt: skip
TIERS = (Tier("primary", "primary", "the-model", {"slots": SLOTS}, _MANNERS),)
CONFIG = {"queue": {"length": QUEUE, "wait": WAIT_S}}
ARGUMENTS: Options = {
    "--seconds": dict(type=float, metavar="S", help=f"seconds per level (default {SECONDS:g})"),
}


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Levels one after the other, then the rest and the recovery."""
    quick, n = args.quick, 10 if args.quick else 50
    # `all` has no --seconds.
    seconds = getattr(args, "seconds", None) or (1.0 if quick else SECONDS)
    with chain(TIERS, CONFIG) as where, sampler.interruptible():
        bench = _Overload(where, sampler)
        with bench.promises.answered():
            bench.unloaded(n)
            for level in QUICK_LEVELS if quick else LEVELS:
                bench.level(level, seconds)
            bench.recovery(0.5 if quick else REST_S, n)
    return [result for result in (bench.table, bench.promises.result) if result.rows]


class _Overload:
    def __init__(self, where: Chain, sampler: Sampler) -> None:
        self._chain, self._sampler = where, sampler
        self._wire = where.endpoint.chat(body(SHORT_TEXT, "ai-router/primary"))
        self._p50 = self._p95 = SERVICE_MS / 1000
        title = (
            f"{SLOTS} slots, answers of {SERVICE_MS} ms, "
            f"a queue of {QUEUE} and at most {WAIT_S:g} s"
        )
        self.table = Result("overload", title, COLUMNS)
        self.promises = Promises("overload", "What is promised under overload")

    def unloaded(self, n: int) -> None:
        samples = self._one_by_one("unloaded", n)
        self._p50, self._p95 = percentile(samples, 0.5), percentile(samples, 0.95)
        self.table.notes += [
            f"capacity: {SLOTS} slots / {ms(self._p50)} ms (the unloaded median) = "
            f"{self.capacity:.1f} requests a second, evenly spaced",
            "latency counts from when a request was due, so that a client that falls behind does "
            "not hide it",
        ]

    @property
    def capacity(self) -> float:
        return SLOTS / self._p50

    def level(self, level: int, seconds: float) -> None:
        rate, name = level * self.capacity, f"{level}×"
        self._sampler.row(f"{level} times the capacity, {seconds:g} s")
        wires = [self._wire] * max(1, round(rate * seconds))
        replies = send(self._chain.endpoint, wires, LIMIT_S, rate)
        served, refused, lost = sorted_out(replies)
        ok, no = (summarise([r.seconds for r in found]) for found in (served, refused))
        told = sum("retry-after" in r.headers for r in refused)
        lasted = max([seconds, *(r.due + r.seconds for r in served)])
        self.table.add(
            (name, number(rate), number(len(served) / lasted), *spread(ok, "p50", "p95"),
             f"{100 * len(refused) / len(replies):.1f}", *spread(no, "p95", "largest"),
             f"{told} of {len(refused)}" if refused else NOTHING, str(len(lost))),
            offered_per_s=rate, offered=len(replies), served=len(served), refused=len(refused),
            lost=len(lost), served_s=ok, refused_s=no, with_retry_after=told,
        )  # fmt: skip
        self.table.notes += [f"{name}: without an answer: {reply.said()}" for reply in lost[:1]]
        check, limit = self.promises.check, 1.5 * self._p95 + WAIT_S
        p95, target = ok.p95 if ok else LIMIT_S, f"≤ 1.5 × unloaded + queue wait = {limit:.2f} s"
        check(f"{name}: p95 of those served", target, f"{ms(p95)} ms", p95 <= limit, p95_s=p95)
        if no:
            said, soon = f"{ms(no.largest)} ms at most", no.largest <= REJECTED_S
            check(f"{name}: the rest is told", f"≤ {REJECTED_S:g} s", said, soon)
            self.promises.count(f"{name}: with Retry-After", told, len(refused))
        self.promises.count(f"{name}: neither served nor told", len(lost))

    def recovery(self, rest: float, n: int) -> None:
        self._sampler.row(f"rest of {rest:g} s")
        time.sleep(rest)
        p95 = percentile(self._one_by_one(f"{rest:g} s later", n), 0.95)
        limit = 1.5 * self._p95
        target = f"≤ 1.5 × unloaded = {ms(limit)} ms"
        self.promises.check(
            f"p95 {rest:g} s later", target, f"{ms(p95)} ms", p95 <= limit, p95_s=p95
        )
        self.promises.count("slots in use afterwards", self._chain.slots_in_use())

    def _one_by_one(self, name: str, n: int) -> list[float]:
        self._sampler.row(name)
        with Connection(self._chain.endpoint, timeout=LIMIT_S) as connection:
            samples = [connection.checked(self._wire).seconds for _ in range(n)]
        rate, found = number(n / sum(samples)), summarise(samples)
        times = spread(found, "p50", "p95")
        self.table.add((name, rate, rate, *times, "0", *[NOTHING] * 3, "0"), served_s=found)
        return samples


def sorted_out(replies: list[Answer]) -> tuple[list[Answer], list[Answer], list[Answer]]:
    """Served, told to come back later (429, 503), and the rest, which must be empty."""
    served = [r for r in replies if r.status == 200]
    refused = [r for r in replies if r.status in (429, 503)]
    return served, refused, [r for r in replies if r.status not in (200, 429, 503)]
