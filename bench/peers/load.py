"""Many at a time: requests per second, and hundreds of streams with the memory they need."""

import time
from collections.abc import Sequence
from itertools import chain

from bench.client import CHAT
from bench.environment import pss_mb
from bench.load_client import drive
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.prompts import body
from bench.sampling import Sampler
from bench.stats import percentile, summarise
from bench.stream_client import receive
from bench.streams import Peak
from simulator.testing import Simulator

AT_ONCE = 64
STREAM_TPS = 20.0
_PATIENCE_S = 25.0  # for the slowest of the streams, beyond the time that they take by themselves


def warm(contender: Contender, text: str, limit_s: float = 20.0) -> None:
    """Every worker has served: a first request makes some of them load what they put off."""
    assert contender.endpoint is not None
    wire = contender.endpoint.wire(CHAT, body(text, contender.model))
    until, steady = time.monotonic() + limit_s, 0
    while time.monotonic() < until and steady < 2:
        load = drive(contender.endpoint, wire, 8 * contender.workers, 0.5, 0.0)
        steady = steady + 1 if len(load.latencies) >= 4 * contender.workers else 0


def throughput(
    findings: Findings, contender: Contender, text: str, seconds: float, warm_up: float
) -> None:
    """Requests per second with 64 users, each of whom asks again as soon as the answer is there."""
    assert contender.endpoint is not None
    load = drive(
        contender.endpoint,
        contender.endpoint.wire(CHAT, body(text, contender.model)),
        AT_ONCE,
        seconds,
        warm_up,
    )
    key = contender.key
    if not load.latencies:
        findings.cannot(
            "requests_per_s", key, f"no request was answered: {load.first_failure[:160]}"
        )
        return
    findings.once("requests_per_s", key, len(load.latencies) / load.seconds)
    findings.once("loaded_p99", key, percentile(sorted(load.latencies), 0.99))
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
    """Streams at 20 chunks a second: are all complete, how late do chunks come, how long takes the first one, how much memory."""
    assert contender.endpoint is not None
    key = contender.key
    simulator.configure(
        "primary", tps=STREAM_TPS, answer_short=[chunks, chunks], answer_long=[chunks, chunks]
    )
    wire = contender.endpoint.wire(CHAT, body(text, contender.model, stream=True), close=True)
    peak = Peak({str(pid): [pid] for pid in contender.worker_pids} | {"all": contender.pids})
    try:
        with peak:
            found = receive(contender.endpoint, wire, count, chunks / STREAM_TPS + _PATIENCE_S)
    finally:
        simulator.reset("primary")
    complete = [stream for stream in found if stream.complete(chunks)]
    findings.once("complete", key, len(complete) / len(found))
    for stream in found:
        if not stream.complete(chunks):
            what = (
                stream.error
                or f"{len(stream.arrivals)} chunks, {'with' if stream.done else 'without'} [DONE]"
            )
            left = len(found) - len(complete)
            findings.notes.append(
                f"{key}, the first of {left} streams that are not complete: status {stream.status}, {what}"
            )
            break
    if memory := [value for name, value in peak.mb.items() if name != "all"]:
        findings.set(
            "pss_loaded",
            key,
            max(findings.value("pss_loaded", key) or 0.0, sum(memory) / len(memory)),
        )
        findings.set(
            "pss_all_loaded", key, max(findings.value("pss_all_loaded", key) or 0.0, peak.mb["all"])
        )
    lateness = [stream.lateness(1 / STREAM_TPS) for stream in complete]
    late = sorted(chain.from_iterable(lateness))
    first = summarise([stream.arrivals[0] for stream in found if stream.arrivals])
    if not late or first is None:
        findings.cannot("relay_p99", key, "no stream was complete")
        findings.cannot("steady_p99", key, "no stream was complete")
        findings.cannot("stream_first_p99", key, "no stream was complete")
        return
    findings.once("relay_p99", key, percentile(late, 0.99))
    # All streams begin at once, and while they do, chunks are late: the same without that rush.
    begun = max(stream.arrivals[0] for stream in complete)
    steady = [
        value
        for stream, values in zip(complete, lateness, strict=True)
        for at, value in zip(stream.arrivals, values, strict=True)
        if at > begun
    ]
    if steady:
        findings.once("steady_p99", key, percentile(sorted(steady), 0.99))
    else:
        findings.cannot("steady_p99", key, "some streams had ended before the last one began")
    findings.once("stream_first_p99", key, first.p99)


def over_direct(findings: Findings, contenders: Sequence[Contender]) -> None:
    """What a contender adds to the figures of the streams: its own less those of the backend itself, round by round."""
    for measure in ("relay_p99", "steady_p99", "stream_first_p99"):
        base = findings.rounds.get(measure, {}).get("direct", [])
        for contender in contenders:
            own = findings.rounds.get(measure, {}).get(contender.key, [])
            found = summarise([mine - theirs for mine, theirs in zip(own, base, strict=False)])
            if found is not None and contender.key != "direct":
                findings.set(f"added_{measure}", contender.key, max(0.0, found.p50))
            elif (reason := findings.reason(measure, contender.key)) is not None:
                findings.cannot(f"added_{measure}", contender.key, reason)


def idle_memory(findings: Findings, contender: Contender) -> None:
    """PSS of a worker, and of all processes of a contender."""
    each = [value for pid in contender.worker_pids if (value := pss_mb([pid])) is not None]
    if each:
        findings.set("pss_idle", contender.key, sum(each) / len(each))
        findings.set("pss_all_idle", contender.key, pss_mb(contender.pids) or 0.0)


def rotated(contenders: Sequence[Contender], turn: int, sampler: Sampler) -> list[Contender]:
    """Those that run, in the order of this round; none after an interrupt."""
    running = (
        []
        if sampler.interrupted
        else [contender for contender in contenders if contender.endpoint is not None]
    )
    start = turn % len(running) if running else 0
    return running[start:] + running[:start]
