"""Many at a time: requests per second, and hundreds of streams with the memory they need."""

import time
from collections.abc import Sequence

from bench.crowd import drive, receive
from bench.environment import pss_mb
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.sampling import Sampler
from bench.stats import lateness, percentile
from bench.streams import Peak
from simulator.testing import Simulator

AT_ONCE = 64
STREAM_TPS = 20.0
STREAMED = ("relay_p99", "steady_p99", "stream_first_p99")
_PATIENCE_S = 25.0  # for the slowest of the streams, beyond the time that they take by themselves


def warm(contender: Contender, text: str, limit_s: float = 20.0) -> None:
    """Every worker has served: a first request makes some of them load what they put off."""
    assert contender.endpoint is not None
    wire, users = contender.chat(text), 8 * contender.workers
    until, steady = time.monotonic() + limit_s, 0
    while time.monotonic() < until and steady < 2:
        load = drive(contender.endpoint, wire, users, 0.5, 0.0)
        steady = steady + 1 if len(load.latencies) >= users / 2 else 0


def throughput(
    findings: Findings, contender: Contender, text: str, seconds: float, warm_up: float
) -> None:
    """Requests per second with 64 users, each of whom asks again as soon as the answer is there."""
    assert contender.endpoint is not None
    key = contender.key
    load = drive(contender.endpoint, contender.chat(text), AT_ONCE, seconds, warm_up)
    if not load.latencies:
        reason = f"no request was answered: {load.first_failure[:160]}"
        findings.cannot(["requests_per_s"], key, reason)
        return
    findings.once("requests_per_s", key, len(load.latencies) / load.seconds)
    findings.once("loaded_p50", key, percentile(load.latencies, 0.5))
    findings.once("loaded_p99", key, percentile(load.latencies, 0.99))
    if load.failures:
        findings.notes.append(
            f"{key}, {AT_ONCE} at a time: {load.failures} failed, the first: {load.first_failure[:120]}"
        )


def streams(
    findings: Findings,
    contender: Contender,
    text: str,
    simulator: Simulator,
    count: int,
    chunks: int,
) -> None:
    """Streams at 20 chunks a second: are all complete, how late do chunks come, how long takes the
    first one, how much memory."""
    assert contender.endpoint is not None
    key, tokens = contender.key, [chunks, chunks]
    simulator.configure("primary", tps=STREAM_TPS, answer_short=tokens, answer_long=tokens)
    wire = contender.chat(text, close=True, stream=True)
    pids = {str(pid): [pid] for pid in contender.worker_pids} | {"all": contender.pids}
    try:
        with Peak(pids) as peak:
            found = receive(contender.endpoint, wire, count, chunks / STREAM_TPS + _PATIENCE_S)
    finally:
        simulator.reset("primary")
    broken = [stream for stream in found if not stream.complete(chunks)]
    findings.once("complete", key, 1 - len(broken) / len(found))
    for stream in broken[:1]:
        findings.notes.append(
            f"{key}, the first of {len(broken)} streams that are not complete: {stream.said()}"
        )
    if memory := [value for name, value in peak.mb.items() if name != "all"]:
        findings.raise_to("pss_loaded", key, sum(memory) / len(memory))
        findings.raise_to("pss_all_loaded", key, peak.mb["all"])
    complete = [stream.chunks for stream in found if stream not in broken]
    if not complete:
        findings.cannot(STREAMED, key, "no stream was complete")
        return
    # All streams begin at once, and while they do, chunks are late: the same without that rush.
    begun = max(times[0] for times in complete)
    beats = [
        (at, late)
        for times in complete
        for at, late in zip(times, lateness(times, 1 / STREAM_TPS), strict=True)
    ]
    findings.once("relay_p99", key, percentile([late for _, late in beats], 0.99))
    findings.once("stream_first_p99", key, percentile([times[0] for times in complete], 0.99))
    if steady := [late for at, late in beats if at > begun]:
        findings.once("steady_p99", key, percentile(steady, 0.99))
    else:
        findings.cannot(["steady_p99"], key, "some streams had ended before the last one began")


def over_direct(findings: Findings, contenders: Sequence[Contender]) -> None:
    """What a contender adds to the figures of the streams: its own less those of the backend
    itself, round by round."""
    for measure in STREAMED:
        base = findings.rounds[measure].get("direct", [])
        for key in (one.key for one in contenders if one.key != "direct"):
            own = findings.rounds[measure].get(key, [])
            added = [mine - theirs for mine, theirs in zip(own, base, strict=False)]
            if added:
                findings.set(f"added_{measure}", key, max(0.0, percentile(added, 0.5)))
            elif (reason := findings.reason(measure, key)) is not None:
                findings.cannot([f"added_{measure}"], key, reason)


def idle_memory(findings: Findings, contender: Contender) -> None:
    """PSS of a worker, and of all processes of a contender."""
    each = [value for pid in contender.worker_pids if (value := pss_mb([pid])) is not None]
    if each:
        findings.set("pss_idle", contender.key, sum(each) / len(each))
        findings.set("pss_all_idle", contender.key, pss_mb(contender.pids) or 0.0)


def rotated(contenders: Sequence[Contender], turn: int, sampler: Sampler) -> list[Contender]:
    """Those that run, in the order of this round; none after an interrupt."""
    running = [one for one in contenders if one.endpoint is not None and not sampler.interrupted]
    start = turn % len(running) if running else 0
    return running[start:] + running[:start]
