"""One request at a time: what each contender adds to the backend's own time, in pairs, in short blocks that take turns."""

import gc
import random
import time
from collections.abc import Sequence

from bench.client import CHAT, Connection, Failure
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.prompts import body
from bench.sampling import Sampler
from bench.stats import percentile

DIRECT = "direct"
BLOCK_S = 0.75
_SETTLING = 8  # pairs at a block's begin that do not count: what the one before does after its last answer would be in them
_FAILURES = 5  # in a row, and a contender is out


class _Line:
    """A contender's connection and what is sent on it."""

    def __init__(self, key: str, connection: Connection, wire: bytes) -> None:
        self.key, self.connection, self.wire = key, connection, wire
        self.failures = 0
        self.problem = ""

    def once(self, stream: bool) -> float | None:
        try:
            reply = self.connection.checked(self.wire)
            seconds = reply.first_content if stream else reply.seconds
            if seconds is None:
                raise Failure("a stream without content")
        except Failure as failure:
            self.failures += 1
            self.problem = str(failure)[:160]
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

    Adds to the samples `whole` (or `first`) everybody's own times, and to `added_whole` (`added_first`) the differences within
    the pairs.
    """
    kind = "first" if stream else "whole"
    extra = {"stream": True} if stream else {}
    lines: list[_Line] = []
    for contender in contenders:
        if contender.endpoint is not None and findings.reason(kind, contender.key) is None:
            wire = contender.endpoint.wire(CHAT, body(text, contender.model, **extra))
            lines.append(_Line(contender.key, Connection(contender.endpoint, timeout=20), wire))
    others = [line for line in lines if line.key != DIRECT]
    direct = next((line for line in lines if line.key == DIRECT), None)
    block = min(BLOCK_S, seconds / max(1, len(others)))
    begun, order = time.perf_counter(), random.Random(7)
    try:
        while (
            direct is not None
            and others
            and (spent := time.perf_counter() - begun) < seconds
            and not sampler.interrupted
        ):
            sampler.meter.at(spent / seconds)
            order.shuffle(others)
            for line in others:
                _block(findings, kind, direct, line, block, order)
            for line in [line for line in others if line.failures >= _FAILURES]:
                findings.cannot(kind, line.key, f"it failed: {line.problem}")
                others.remove(line)
    except KeyboardInterrupt:
        sampler.interrupted = True
    finally:
        for line in lines:
            line.connection.close()
    for contender in contenders:
        if pooled := sorted(findings.pooled(f"added_{kind}", contender.key)):
            findings.set(f"added_{kind}_p50", contender.key, percentile(pooled, 0.5))
            findings.set(f"added_{kind}_p99", contender.key, percentile(pooled, 0.99))
        elif (reason := findings.reason(kind, contender.key)) is not None:
            findings.cannot(f"added_{kind}_p50", contender.key, reason)
            findings.cannot(f"added_{kind}_p99", contender.key, reason)


def _block(
    findings: Findings, kind: str, direct: _Line, line: _Line, seconds: float, order: random.Random
) -> None:
    """Pairs of a direct request and one through the contender; which comes first is left to chance."""
    stream = kind == "first"
    pairs: list[tuple[float, float]] = []
    begun, number = time.perf_counter(), 0
    gc.disable()  # the collector's pauses would be ours
    try:
        while line.failures < _FAILURES and (
            number <= _SETTLING or time.perf_counter() - begun < seconds
        ):
            if order.random() < 0.5:
                own, base = line.once(stream), direct.once(stream)
            else:
                base, own = direct.once(stream), line.once(stream)
            number += 1
            if number > _SETTLING and own is not None and base is not None:
                pairs.append((base, own))
    finally:
        gc.enable()
    findings.collect(kind, DIRECT, [base for base, _ in pairs])
    findings.collect(kind, line.key, [own for _, own in pairs])
    findings.collect(f"added_{kind}", line.key, [own - base for base, own in pairs])
