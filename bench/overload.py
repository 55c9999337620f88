"""More requests than the backend can serve: those it takes stay fast, the others are told so soon, and it recovers by itself."""

import argparse
import time

from bench.chain import Chain, Tier, chain
from bench.client import CHAT, Connection, Failure
from bench.open_loop import Reply, offer
from bench.promises import Promises
from bench.prompts import body
from bench.result import NOTHING, Result, ms, number
from bench.sampling import Sampler
from bench.stats import percentile, summarise

SLOTS, SERVICE_MS = 4, 100
QUEUE, WAIT_S = 64, 5.0  # the defaults of the settings
LEVELS, QUICK_LEVELS = (1, 2, 5, 10), (1, 10)
SECONDS, FULL_SECONDS = 15.0, 60.0
REST_S, QUICK_REST_S = 30.0, 10.0
REJECTED_S = 5.1
LIMIT_S = 30.0
COLUMNS = (
    "load",
    "offered/s",
    "served/s",
    "served p50 ms",
    "p95 ms",
    "429/503 %",
    "their p95 ms",
    "longest",
    "Retry-After",
    "no answer",
)
TIERS = (
    Tier(
        "primary",
        "primary",
        "the-model",
        {"slots": SLOTS},
        {
            "slots": SLOTS,
            "answer_short": 20,
            "ttft_ms": SERVICE_MS,
            "ttft_nonstream_ms": SERVICE_MS,
            "tps": 0,
        },
    ),
)
CONFIG = {"queue": {"length": QUEUE, "wait": WAIT_S}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=float, metavar="S", help=f"seconds per level (default {SECONDS:g})"
    )
    parser.add_argument(
        "--full", action="store_true", help=f"10 times the capacity for {FULL_SECONDS:g} seconds"
    )


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Levels one after the other, then the rest and the recovery."""
    seconds = getattr(args, "seconds", None) or (1.0 if args.quick else SECONDS)
    last = FULL_SECONDS if getattr(args, "full", False) else seconds
    rest = 0.5 if args.quick else QUICK_REST_S if not getattr(args, "full", False) else REST_S
    with chain(TIERS, CONFIG) as where:
        bench = _Overload(where, sampler)
        sampler.meter.start("overload", 3 * seconds + last + rest + 6)
        try:
            bench.unloaded(10 if args.quick else 50)
            for level in QUICK_LEVELS if args.quick else LEVELS:
                bench.level(level, last if level == LEVELS[-1] else seconds)
            bench.recovery(rest, 10 if args.quick else 50)
        except Failure as failure:
            bench.promises.check("every request alone is answered", "yes", str(failure), False)
        except KeyboardInterrupt:
            sampler.interrupted = True
        return [result for result in (bench.table, bench.promises.result) if result.rows]


class _Overload:
    def __init__(self, where: Chain, sampler: Sampler) -> None:
        self._chain, self._sampler = where, sampler
        self._wire = where.endpoint.wire(
            CHAT, body("Say something short about rivers.", "ai-router/primary")
        )
        self._p50 = self._p95 = SERVICE_MS / 1000
        self.table = Result(
            "overload",
            f"{SLOTS} slots, answers of {SERVICE_MS} ms, a queue of {QUEUE} and at most {WAIT_S:g} s",
            COLUMNS,
        )
        self.promises = Promises("overload", "What is promised under overload")

    def unloaded(self, n: int) -> None:
        samples = self._one_by_one("unloaded", n)
        self._p50, self._p95 = percentile(samples, 0.5), percentile(samples, 0.95)
        self.table.notes.append(
            f"capacity: {SLOTS} slots / {ms(self._p50)} ms (the unloaded median) = {self.capacity:.1f} requests a second, evenly spaced"
        )
        self.table.notes.append(
            "latency counts from when a request was due, so that a client that falls behind does not hide it"
        )

    @property
    def capacity(self) -> float:
        return SLOTS / self._p50

    def level(self, level: int, seconds: float) -> None:
        """So many times the capacity."""
        meter = self._sampler.meter
        meter.row(f"{level} times the capacity, {seconds:g} s", seconds)
        rate = level * self.capacity
        replies = offer(
            self._chain.endpoint, self._wire, rate, seconds, limit=LIMIT_S, progress=meter.at
        )
        self._add(f"{level}×", rate, seconds, replies)
        self._judge(level, replies, enough=seconds >= 5)

    def recovery(self, rest: float, n: int) -> None:
        self._sampler.meter.row(f"rest of {rest:g} s", rest)
        begun = time.monotonic()
        while (over := time.monotonic() - begun) < rest:
            self._sampler.meter.at(over / rest)
            time.sleep(0.1)
        samples = self._one_by_one(f"{rest:g} s later", n)
        p95, limit = percentile(samples, 0.95), 1.5 * self._p95
        self.promises.check(
            f"p95 {rest:g} s later",
            f"≤ 1.5 × unloaded = {ms(limit)} ms",
            f"{ms(p95)} ms",
            p95 <= limit,
            p95_s=p95,
        )
        left = self._chain.slots_in_use()
        self.promises.check("slots in use afterwards", "0", str(left), left == 0)

    def _one_by_one(self, name: str, n: int) -> list[float]:
        """Latencies of requests that are alone, in ascending order."""
        self._sampler.meter.row(name, n * SERVICE_MS / 1000)
        with Connection(self._chain.endpoint, timeout=LIMIT_S) as connection:
            samples = sorted(connection.checked(self._wire).seconds for _ in range(n))
        found = summarise(samples)
        assert found is not None
        rate = 1 / found.mean
        self.table.add(
            (name, number(rate), number(rate), ms(found.p50), ms(found.p95), "0", NOTHING, NOTHING, NOTHING, "0"), served_s=found
        )  # fmt: skip
        return samples

    def _add(self, name: str, rate: float, seconds: float, replies: list[Reply]) -> None:
        served, refused, lost = sorted_out(replies)
        ok, no = summarise([r.seconds for r in served]), summarise([r.seconds for r in refused])
        middle, end = (ms(ok.p50), ms(ok.p95)) if ok else (NOTHING, NOTHING)
        told = sum(r.retry_after is not None for r in refused)
        longest = max((r.due + r.seconds for r in served), default=seconds)
        self.table.add(
            (
                name, number(rate), number(len(served) / max(seconds, longest)), middle, end,
                f"{100 * len(refused) / len(replies):.1f}", ms(no.p95) if no else NOTHING, ms(no.largest) if no else NOTHING,
                f"{told} of {len(refused)}" if refused else NOTHING, str(len(lost)),
            ),
            offered_per_s=rate, offered=len(replies), served=len(served), refused=len(refused), lost=len(lost), served_s=ok,
            refused_s=no, with_retry_after=told,
        )  # fmt: skip
        for reply in lost[:1]:
            self.table.notes.append(
                f"{name}: the first without an answer: status {reply.status} {reply.problem}"
            )

    def _judge(self, level: int, replies: list[Reply], *, enough: bool) -> None:
        served, refused, lost = sorted_out(replies)
        check = self.promises.check
        limit = 1.5 * self._p95 + WAIT_S
        p95 = percentile(sorted(r.seconds for r in served), 0.95) if served else LIMIT_S
        target = f"≤ 1.5 × unloaded + queue wait = {limit:.2f} s"
        check(f"{level}×: p95 of those served", target, f"{ms(p95)} ms", p95 <= limit, p95_s=p95)
        if refused:
            longest = max(r.seconds for r in refused)
            told = sum(r.retry_after is not None for r in refused)
            check(
                f"{level}×: the rest is told",
                f"≤ {REJECTED_S:g} s",
                f"{ms(longest)} ms at most",
                longest <= REJECTED_S,
            )
            check(f"{level}×: with Retry-After", f"{len(refused)}", f"{told}", told == len(refused))
        check(f"{level}×: neither served nor told", "0", str(len(lost)), not lost)
        rate = len(served) / max(1e-9, max(r.due + r.seconds for r in replies))
        if level > 1 and enough:
            share = 100 * rate / self.capacity
            self.promises.note(
                f"{level}×: served of what the slots could serve",
                f"{rate:.1f}/s, {share:.0f} %",
                per_s=rate,
                share=share,
            )


def sorted_out(replies: list[Reply]) -> tuple[list[Reply], list[Reply], list[Reply]]:
    """Served, told to come back later (429, 503), and the rest, which must be empty."""
    served = [r for r in replies if r.status == 200]
    refused = [r for r in replies if r.status in (429, 503)]
    return served, refused, [r for r in replies if r.status not in (200, 429, 503)]
