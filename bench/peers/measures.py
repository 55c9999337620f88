"""What is measured of a contender: one request at a time, many at a time, and how soon the backend
learns that a client has left. Streams are in `bench.peers.flows`."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from bench.client import Connection
from bench.crowd import drive
from bench.peers.gateways import Contender
from bench.peers.table import Findings
from bench.result import Pair, Sampler, without_collector
from bench.stats import percentile
from simulator.testing import Simulator

# One at a time ------------------------------------------------------------------------------------

DIRECT = "direct"
BLOCK_S = 0.75
# Pairs at the beginning of a block that do not count: what the one before does after its last
# answer would be in them.
_SETTLING = 8


def one_at_a_time(
    findings: Findings,
    contenders: Sequence[Contender],
    text: str,
    sampler: Sampler,
    seconds: float,
    *,
    stream: bool,
) -> None:
    """Short blocks for `seconds`, one contender after the other, in random order.

    Adds to the samples `whole` (or `first`) everybody's own times, and to `added_whole`
    (`added_first`) the differences within the pairs; p50 and p99 of this call's own times are
    figures of a round.
    """
    kind = "first" if stream else "whole"
    with ExitStack() as stack:
        lines: dict[str, Callable[[int], float]] = {}
        for one in contenders:
            if findings.reasons[kind].get(one.key) is None:
                connection = stack.enter_context(Connection(one.endpoint, timeout=20))
                lines[one.key] = connection.timing(one.chat(text, stream=stream), stream)
        direct, others = lines.pop(DIRECT), list(lines)
        before = {key: len(findings.samples[kind][key]) for key in others}
        block = min(BLOCK_S, seconds / max(1, len(others)))
        until, order = time.perf_counter() + seconds, random.Random(7)
        while others and time.perf_counter() < until and not sampler.interrupted:
            order.shuffle(others)
            for key in tuple(others):
                with without_collector():
                    found = sampler.collect(
                        Pair(direct, lines[key]).take, 1_000_000, budget=block,
                        at_least=_SETTLING + 1,
                    )  # fmt: skip
                pairs = found.values[_SETTLING:]
                findings.samples[kind][DIRECT] += [base for base, _ in pairs]
                findings.samples[kind][key] += [own for _, own in pairs]
                findings.samples[f"added_{kind}"][key] += [own - base for base, own in pairs]
                if found.failures and not found.values:
                    findings.cannot([kind], key, f"it failed: {found.first_failure[:160]}")
                    others.remove(key)
    for key in others:
        if own := findings.samples[kind][key][before[key] :]:
            findings.once(f"{kind}_p50", key, percentile(own, 0.5))
            findings.once(f"{kind}_p99", key, percentile(own, 0.99))
    for one in contenders:
        for measure, q in ((f"added_{kind}_p50", 0.5), (f"added_{kind}_p99", 0.99)):
            if pooled := findings.samples[f"added_{kind}"][one.key]:
                findings.set(measure, one.key, percentile(pooled, q))
            elif (reason := findings.reasons[kind].get(one.key)) is not None:
                findings.cannot([measure], one.key, reason)


# Many at a time -----------------------------------------------------------------------------------

AT_ONCE = 64


def warm(contender: Contender, text: str, limit_s: float = 20.0) -> None:
    """Every worker has served: a first request makes some of them load what they put off."""
    wire, users = contender.chat(text), 8 * contender.workers
    until, steady = time.monotonic() + limit_s, 0
    while time.monotonic() < until and steady < 2:
        load = drive(contender.endpoint, wire, users, 0.5, 0.0)
        steady = steady + 1 if len(load.latencies) >= users / 2 else 0


def throughput(
    findings: Findings, contender: Contender, text: str, seconds: float, warm_up: float
) -> None:
    """Requests per second with 64 users, each of whom asks again as soon as the answer is there."""
    names = ("requests_per_s", "loaded_p50", "loaded_p99")
    load_of(findings, contender, contender.chat(text), AT_ONCE, seconds, warm_up, names)


def load_of(
    findings: Findings,
    contender: Contender,
    wire: bytes,
    users: int,
    seconds: float,
    warm_up: float,
    names: tuple[str, str, str],
) -> None:
    """A round of so many users.

    Args:
        names: of the measures: requests per second, p50 and p99 in seconds.
    """
    key = contender.key
    load = drive(contender.endpoint, wire, users, seconds, warm_up)
    if not load.latencies:
        reason = f"no request was answered: {load.first_failure[:160]}"
        findings.cannot(names, key, reason)
        return
    rate, p50, p99 = names
    findings.once(rate, key, len(load.latencies) / load.seconds)
    findings.once(p50, key, percentile(load.latencies, 0.5))
    findings.once(p99, key, percentile(load.latencies, 0.99))
    if load.failures:
        said = f"{load.failures} failed, the first: {load.first_failure[:120]}"
        findings.notes.append(f"{key}, {users} at a time: {said}")


# A client that leaves -----------------------------------------------------------------------------

# (measure, streaming): it leaves while chunks flow, in a silent gap, while it waits for a whole
# answer.
_LEAVES = (("gone_flowing", True), ("gone_silent", True), ("gone_whole", False))
NOTICE_S = 2.0  # not seen by then: it counts as not seen
_TPS, _TOKENS = 50.0, 200  # an answer of 4 s
_GAP_MS = 4000
_SOME_CHUNKS = 4


def disconnects(
    findings: Findings, contender: Contender, text: str, simulator: Simulator, times: int
) -> None:
    """Median of `times` disconnects of each kind, from the socket closed to the backend's
    connection lost. A kind ends when two were not seen."""
    for name, stream in _LEAVES:
        simulator.reset("primary")
        tokens = [_TOKENS, _TOKENS]
        simulator.configure("primary", tps=_TPS, answer_short=tokens, answer_long=tokens)
        if name == "gone_silent":
            simulator.fault("primary", "stall", after_chunks=_SOME_CHUNKS, ms=_GAP_MS)
        seen: list[float] = []
        missed = 0
        try:
            while len(seen) + missed < times and missed < 2:
                took = _leave(contender, text, simulator, stream, pause=name != "gone_flowing")
                missed += took is None
                seen += [] if took is None else [took]
        except OSError as error:
            findings.cannot([name], contender.key, str(error) or type(error).__name__)
        if missed:
            of = f"{missed} times of {len(seen) + missed}"
            reason = f"not seen by the backend within {NOTICE_S:g} s, {of}"
            findings.cannot([name], contender.key, reason)
        elif seen:
            findings.set(name, contender.key, percentile(seen, 0.5))
    simulator.reset("primary")


def _leave(
    contender: Contender, text: str, simulator: Simulator, stream: bool, pause: bool
) -> float | None:
    """Seconds from the client's close to the backend's loss of its connection; None when it was not
    seen."""
    before = simulator.stats("primary")
    with Connection(contender.endpoint, timeout=10) as connection:
        sock = connection.open()
        sock.sendall(contender.chat(text, stream=stream))
        received = b""
        while stream and received.count(b'"content"') < _SOME_CHUNKS:
            if not (data := sock.recv(65_536)):
                raise OSError(f"it closed the connection: {received[:120].decode('latin-1')}")
            received += data
        if not stream:
            with suppress(TimeoutError):
                simulator.wait_for("primary", 5.0, started=before["started"] + 1)
        time.sleep(0.15 if pause else 0)
        left = time.time()  # the simulator's abort counters are in this clock
    try:
        after = simulator.wait_for("primary", NOTICE_S, aborted=before["aborted"] + 1)
    except TimeoutError:
        # Until the backend has finished the abandoned requests.
        until = time.monotonic() + _TOKENS / _TPS + _GAP_MS / 1000 + 1
        while time.monotonic() < until and simulator.stats("primary")["running"]:
            time.sleep(0.05)
        return None
    return max(0.0, float(after["aborts"][-1]["at"]) - left)
