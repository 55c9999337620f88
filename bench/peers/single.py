"""One request at a time, to each contender in turn: what each adds to the backend's own time."""

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
_PAUSE_S = 0.010  # at most
_FAILURES = 5  # in a row, and a contender is out


def measure(findings: Findings, contenders: Sequence[Contender], text: str, sampler: Sampler, seconds: float, *, stream: bool) -> None:
    """As many turns as fit into `seconds`; in each turn every contender is asked once, in an order of its own.

    Adds to the samples `whole` (or `first`) each contender's own times, and to `added_whole` (`added_first`) the differences
    from the direct request of the same turn.
    """
    kind = "first" if stream else "whole"
    extra = {"stream": True} if stream else {}
    lines: list[_Line] = []
    for contender in contenders:
        if contender.endpoint is not None and findings.reason(kind, contender.key) is None:
            wire = contender.endpoint.wire(CHAT, body(text, contender.model, **extra))
            lines.append(_Line(contender.key, Connection(contender.endpoint, timeout=20), wire))
    warm_up, begun = seconds / 6, time.perf_counter()
    order = random.Random(7)
    gc.disable()  # the collector's pauses would be ours
    try:
        while (spent := time.perf_counter() - begun) < seconds + warm_up and not sampler.interrupted:
            sampler.meter.at(spent / (seconds + warm_up))
            order.shuffle(lines)
            took = _turn(lines, stream)
            for line in [line for line in lines if line.failures >= _FAILURES]:
                findings.cannot(kind, line.key, f"it failed: {line.problem}")
                lines.remove(line)
            if spent < warm_up:
                continue
            for key, value in took.items():
                findings.collect(kind, key, [value])
                if key != DIRECT and DIRECT in took:
                    findings.collect(f"added_{kind}", key, [value - took[DIRECT]])
    except KeyboardInterrupt:
        sampler.interrupted = True
    finally:
        gc.enable()
        for line in lines:
            line.connection.close()
    for contender in contenders:
        if pooled := sorted(findings.pooled(f"added_{kind}", contender.key)):
            findings.set(f"added_{kind}_p50", contender.key, percentile(pooled, 0.5))
            findings.set(f"added_{kind}_p99", contender.key, percentile(pooled, 0.99))
        elif (reason := findings.reason(kind, contender.key)) is not None:
            findings.cannot(f"added_{kind}_p50", contender.key, reason)
            findings.cannot(f"added_{kind}_p99", contender.key, reason)


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


def _turn(lines: list[_Line], stream: bool) -> dict[str, float]:
    """After each a pause as long as it took: what a gateway does after its answer must not slow the next one down."""
    took = {}
    for line in lines:
        begun = time.perf_counter()
        value = line.once(stream)
        time.sleep(min(_PAUSE_S, time.perf_counter() - begun))
        if value is not None:
            took[line.key] = value
    return took
