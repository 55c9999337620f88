"""Thousands of connections that do nothing useful, and large bodies: are the others still served,
and does the memory come back?"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench.alive import Alive
from bench.client import Connection, Endpoint
from bench.crowd import drive
from bench.environment import descriptors, rss_mb
from bench.held import Held, holding
from bench.prompts import SHORT_TEXT, body
from bench.result import Periodic, Promises, Result, Sampler, ms, number
from bench.stand import router_before, scratch_folder
from bench.stats import percentile
from bench.stub import Stub

IDLE, UNFINISHED, STOPPED, LINGERING = 5000, 300, 200, 50
BODIES, BODY_MB = 200, 10
USERS = 8
ROUNDS, SECONDS, WARM_UP_S, FILLING_S, REST_S = 3, 4.0, 0.5, 5.0, 10.0
LIVENESS_S, RATIO, BACK_MB = 0.05, 1.5, 60.0
_OWN = 200  # descriptors of this process besides those held
# Of a stopped reader's stream: after about four seconds the buffers on its way, 2 MB, are full.
_CHUNKS, _TPS, _PADDING = 1000, 8.0, 65_536


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything; `filling_s`: seconds until stopped readers stand still."""

    idle: int = IDLE
    unfinished: int = UNFINISHED
    stopped: int = STOPPED
    lingering: int = LINGERING
    bodies: int = BODIES
    rounds: int = ROUNDS
    seconds: float = SECONDS
    filling_s: float = FILLING_S
    rest_s: float = REST_S

    @property
    def held(self) -> int:
        return self.idle + self.unfinished + self.stopped + self.lingering

    def within(self, limit: int) -> "Amounts":
        """The same, in proportion, for a process that may open so many files."""
        share = min(1.0, max(0, limit - _OWN) / self.held)
        return replace(
            self,
            idle=int(self.idle * share),
            unfinished=int(self.unfinished * share),
            stopped=int(self.stopped * share),
            lingering=int(self.lingering * share),
        )


QUICK = Amounts(100, 20, 5, 5, bodies=3, rounds=1, seconds=1.0, filling_s=0.5, rest_s=1.0)


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """One router with one worker, its server as shipped, before the stub."""
    wanted = QUICK if args.quick else Amounts()
    # The router and the stub, which are started afterwards, get the same limit.
    amounts = wanted.within(descriptors(wanted.held + _OWN))
    with ExitStack() as stack, sampler.interruptible():
        stub = stack.enter_context(Stub())
        folder = scratch_folder(stack, "connections")
        config = {"queue": {"length": 4096, "wait": 30}, "cascade": {"tiers": ["rules"]}}
        router = stack.enter_context(router_before(stub, folder, config, slots=4096))
        bench = _Connections(Endpoint.of(router.url), router.workers, stub, sampler, amounts)
        if amounts.held < wanted.held:
            bench.table.notes.append(
                f"scaled down from {wanted.held:,} connections to {amounts.held:,}: this machine "
                "allows no more open files (ulimit -Hn)"
            )
        with bench.promises.answered():
            bench.crowded()
            bench.bodies()
        return [result for result in (bench.table, bench.promises.result) if result.rows]
    return []


class _Connections:
    def __init__(
        self,
        endpoint: Endpoint,
        workers: Sequence[int],
        stub: Stub,
        sampler: Sampler,
        amounts: Amounts,
    ) -> None:
        self._endpoint, self._workers, self._stub = endpoint, workers, stub
        self._sampler, self._amounts = sampler, amounts
        columns = ("", "held", "requests/s", "p50 ms", "p99 ms", "failures", "liveness p99 ms",
            "liveness max ms", "RSS MB")  # fmt: skip
        title = (
            f"{amounts.idle:,} idle connections, {amounts.unfinished} unfinished heads, "
            f"{amounts.stopped} stopped readers, {amounts.lingering} that do not close; "
            f"{USERS} requests at a time, 1 worker"
        )
        self.table = Result("connections", title, columns)
        self.promises = Promises("connections", "What is promised with these connections")

    def _chat(self, stream: bool = False, close: bool = False) -> bytes:
        asked = body(SHORT_TEXT, "ai-router/primary", stream=stream)
        return self._endpoint.chat(asked, close=close)

    def crowded(self) -> None:
        """Requests without and with the crowd, in turn."""
        p99: dict[bool, list[float]] = {False: [], True: []}
        liveness, opening = list[float](), list[float]()
        failures = refused = 0
        for turn in range(self._amounts.rounds):
            for crowd in (False, True):
                name = f"round {turn + 1}: {'with' if crowd else 'without'} them"
                self._sampler.row(name)
                with holding(self._endpoint) as held:
                    if crowd:
                        with Alive(self._endpoint) as watch:
                            self._gather(held)
                        opening += watch.seconds
                        failures += watch.failures
                    with Alive(self._endpoint) as watch:
                        load = drive(
                            self._endpoint, self._chat(), USERS, self._amounts.seconds, WARM_UP_S
                        )
                    memory = rss_mb(self._workers)
                    opened, still = held.held, held.still_open()
                told = watch.seconds
                quantiles = [
                    percentile(load.latencies, q) if load.latencies else None for q in (0.5, 0.99)
                ]
                p99[crowd] += [value for value in quantiles[1:] if value is not None]
                alive_p99 = percentile(told, 0.99) if told else None
                self.table.add(
                    (name, f"{sum(opened.values()):,}",
                     number(len(load.latencies) / load.seconds, 0),
                     *map(ms, quantiles), str(load.failures), ms(alive_p99),
                     ms(max(told, default=None)), number(memory, 0)),
                    crowd=crowd, held=opened, still_open=still, p50_s=quantiles[0],
                    p99_s=quantiles[1], failures=load.failures, alive_p99_s=alive_p99,
                    alive_max_s=max(told, default=None), unanswered=watch.failures,
                    rss_mb=memory,
                )  # fmt: skip
                if load.first_failure:
                    self.table.notes.append(f"{name}: {load.first_failure[:160]}")
                if crowd:
                    liveness += told
                    failures += watch.failures + load.failures
                    refused = max(refused, self._amounts.held - sum(opened.values()))
                    self._note_held(name, held, opened, still)
        answers = {"while they are opened": opening, "beside them": liveness}
        self._judge(p99, answers, failures, refused)

    def _gather(self, held: Held) -> None:
        amounts = self._amounts
        held.idle(amounts.idle, self._endpoint.wire("/health/liveness", None))
        held.unfinished(amounts.unfinished)
        held.lingering(amounts.lingering, self._chat(close=True))
        self._stub.pace(_CHUNKS, _TPS, _PADDING)
        held.stopped(amounts.stopped, self._chat(stream=True))
        time.sleep(amounts.filling_s)  # from then on they stand still

    def _note_held(
        self, name: str, held: Held, opened: dict[str, int], still: dict[str, int]
    ) -> None:
        kinds, left = (
            ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
            for counts in (opened, still)
        )
        said = f"; the first that was not: {held.problem[:160]}" if held.problem else ""
        self.table.notes.append(f"{name}: opened {kinds}; still open at the end {left}{said}")

    def _judge(
        self,
        p99: dict[bool, list[float]],
        liveness: dict[str, list[float]],
        failures: int,
        refused: int,
    ) -> None:
        check = self.promises.check
        self.promises.count("connections that could not be opened", refused)
        self.promises.count("requests that failed meanwhile", failures)
        for when, told in liveness.items():
            longest = max(told, default=float("inf"))
            tail = percentile(told, 0.99) if told else float("inf")
            said = f"{ms(longest)} ms at most, p99 {ms(tail)} ms"
            check(
                f"liveness {when}", f"≤ {ms(LIVENESS_S, 0)} ms", said, longest <= LIVENESS_S,
                max_s=longest, p99_s=tail, n=len(told),
            )  # fmt: skip
        ratios = [b / a for a, b in zip(p99[False], p99[True], strict=False)]
        ratio = percentile(ratios, 0.5) if ratios else float("inf")
        check(
            f"p99 of requests, {USERS} at a time, with : without", f"≤ {RATIO:g}",
            number(ratio, 2), ratio <= RATIO, ratio=ratio, ratios=ratios,
        )  # fmt: skip

    def bodies(self) -> None:
        """Large bodies, one after the other; what remains of them in memory."""
        count = self._amounts.bodies
        self._sampler.row(f"{count} bodies of {BODY_MB} MB")
        text = "All work and no play. " * (BODY_MB * 1_000_000 // 22)
        wire = self._endpoint.chat(body(text, "ai-router/primary"))
        before, peak = rss_mb(self._workers) or 0.0, Highest(self._workers)
        with Connection(self._endpoint, timeout=60) as connection, peak:
            statuses = [connection.send(wire).status for _ in range(count)]
        time.sleep(self._amounts.rest_s)
        after = rss_mb(self._workers) or 0.0
        bad = sum(status != 200 for status in statuses)
        self.promises.count(f"bodies of {BODY_MB} MB refused", bad, of=count)
        self.promises.note("RSS before / peak", f"{before:.0f} / {peak.mb:.0f} MB",
            before_mb=before, peak_mb=peak.mb)  # fmt: skip
        rest = f"{self._amounts.rest_s:g} s after {count} bodies of {BODY_MB} MB: RSS above before"
        self.promises.check(
            rest, f"≤ {BACK_MB:g} MB", f"{after - before:.0f} MB", after - before <= BACK_MB,
            after_mb=after, before_mb=before,
        )  # fmt: skip


class Highest(Periodic):
    """The largest RSS of processes, in MB, looked at twenty times a second."""

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(0.05, self.look)
        self._pids, self.mb = pids, 0.0

    def look(self) -> None:
        self.mb = max(self.mb, rss_mb(self._pids) or 0.0)
