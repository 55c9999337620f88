"""One request at a time: what each contender adds to the backend's own time, in pairs, in short
blocks that take turns."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench.client import Connection, Failure
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.sampling import Pair, Sampler, without_collector
from bench.stats import percentile

DIRECT = "direct"
BLOCK_S = 0.75
_SETTLING = 8  # pairs at a block's begin that do not count: what the one before does after its last answer would be in them
_FAILURES = 5  # in a row, and a contender is out


class _Line:
    """A contender's connection and what is sent on it."""

    def __init__(self, key: str, connection: Connection, wire: bytes, stream: bool) -> None:
        self.key, self.connection, self.wire, self.stream = key, connection, wire, stream
        self.failures, self.problem = 0, ""

    def once(self, _i: int) -> float | None:
        try:
            seconds = (
                self.connection.first_content(self.wire)
                if self.stream
                else self.connection.checked(self.wire).seconds
            )
        except Failure as failure:
            self.failures, self.problem = self.failures + 1, str(failure)[:160]
            return None
        self.failures = 0
        return seconds


def measure(
    findings: Findings,
    contenders: Sequence[Contender],
    text: str,
    sampler: Sampler,
    seconds: float,
    *,
    stream: bool,
) -> None:
    """Blocks for `seconds`, one contender after the other, in an order of its own each time.

    Adds to the samples `whole` (or `first`) everybody's own times, and to `added_whole`
    (`added_first`) the differences
    within the pairs; p50 and p99 of this call's own times are figures of a round.
    """
    kind = "first" if stream else "whole"
    with ExitStack() as stack:
        lines = {
            one.key: _Line(
                one.key, stack.enter_context(Connection(one.endpoint, timeout=20)), one.chat(text,
                stream=stream), stream
            )
            for one in contenders
            if one.endpoint is not None and findings.reason(kind, one.key) is None
        }  # fmt: skip
        direct, others = lines.pop(DIRECT, None), list(lines.values())
        before = {line.key: len(findings.samples[kind][line.key]) for line in others}
        block = min(BLOCK_S, seconds / max(1, len(others)))
        begun, order = time.perf_counter(), random.Random(7)
        with sampler.interruptible():
            while (
                direct and others and (spent := time.perf_counter() - begun) < seconds and not sampler.interrupted
            ):  # fmt: skip
                sampler.meter.at(spent / seconds)
                order.shuffle(others)
                for line in others:
                    _block(findings, kind, direct, line, block)
                for line in [line for line in others if line.failures >= _FAILURES]:
                    findings.cannot([kind], line.key, f"it failed: {line.problem}")
                    others.remove(line)
    for line in others:
        if own := findings.samples[kind][line.key][before[line.key] :]:
            findings.once(f"{kind}_p50", line.key, percentile(own, 0.5))
            findings.once(f"{kind}_p99", line.key, percentile(own, 0.99))
    for one in contenders:
        added = (f"added_{kind}_p50", f"added_{kind}_p99")
        if pooled := findings.samples[f"added_{kind}"][one.key]:
            for measure, q in zip(added, (0.5, 0.99), strict=True):
                findings.set(measure, one.key, percentile(pooled, q))
        elif (reason := findings.reason(kind, one.key)) is not None:
            findings.cannot(added, one.key, reason)


def _block(findings: Findings, kind: str, direct: _Line, line: _Line, seconds: float) -> None:
    """Pairs of a direct request and one through the contender; which comes first is left to
    chance."""
    both = Pair(direct.once, line.once)
    pairs: list[tuple[float, float]] = []
    begun, number = time.perf_counter(), 0
    with without_collector():
        while line.failures < _FAILURES and (
            number <= _SETTLING or time.perf_counter() - begun < seconds
        ):
            base, own = both.take()
            number += 1
            if number > _SETTLING and own is not None and base is not None:
                pairs.append((base, own))
    findings.collect(kind, DIRECT, [base for base, _ in pairs])
    findings.collect(kind, line.key, [own for _, own in pairs])
    findings.collect(f"added_{kind}", line.key, [own - base for base, own in pairs])
