"""Streams of a contender that stands before the stub: hundreds, thousands, what a relayed chunk
costs, and idle connections beside traffic."""

import time
from collections.abc import Sequence

from bench.crowd import drive
from bench.environment import cpu_seconds, rss_mb
from bench.held import holding
from bench.peers.gateways import Contender
from bench.peers.table import Findings
from bench.relayed import Relayed, complete, follow
from bench.result import Periodic, Result, ms, number
from bench.stats import percentile
from bench.streams import Peak
from bench.stub import Stub

DIRECT = "direct"
TPS = 20.0
OPENED_OVER_S = 1.0
AT_ONCE = ("relay_p99", "steady_p99", "stream_first_p99")
SPREAD = ("spread_relay_p99", "spread_first_p99")
STREAMED = (*AT_ONCE, *SPREAD)
_PATIENCE_S = 25.0  # for the slowest of the streams, beyond the time that they take by themselves
_FEW = 0.9  # of the streams: a contender that completes fewer is not asked for more
_TOO_FEW = "not asked: of those opened at once, too few were complete"


def streams(
    findings: Findings, contender: Contender, text: str, stub: Stub, count: int, chunks: int
) -> None:
    """Streams at 20 chunks a second, opened at once and then within a second: are all complete,
    how late do chunks come, how long does the first one take, how much memory."""
    key = contender.key
    stub.pace(chunks, TPS)
    pids = {str(pid): [pid] for pid in contender.worker_pids}
    with Peak(pids) as peak:
        found, _ = _follow(contender, text, count, chunks / TPS)
    whole = complete(found, chunks)
    findings.once("complete", key, len(whole) / count)
    _note_broken(findings, key, found, whole)
    if peak.mb:
        each = sum(peak.mb.values()) / len(peak.mb)
        findings.set("pss_loaded", key, max(findings.value("pss_loaded", key) or 0.0, each))
    if not whole:
        findings.cannot(STREAMED, key, "no stream was complete")
        return
    # All streams begin at once, and while they do, chunks are late: the same without that rush.
    begun = max(one.at[0] for one in whole)
    chunk = [pair for one in whole for pair in zip(one.at, one.delays, strict=True)]
    findings.once("relay_p99", key, percentile([delay for _, delay in chunk], 0.99))
    findings.once("stream_first_p99", key, _first_p99(whole))
    if steady := [delay for at, delay in chunk if at > begun]:
        findings.once("steady_p99", key, percentile(steady, 0.99))
    else:
        findings.cannot(["steady_p99"], key, "some streams had ended before the last one began")
    if len(whole) < _FEW * count:
        findings.cannot(SPREAD, key, _TOO_FEW)
        return
    found, _ = _follow(contender, text, count, chunks / TPS, OPENED_OVER_S)
    if spread := complete(found, chunks):
        late = percentile([delay for one in spread for delay in one.delays], 0.99)
        findings.once("spread_relay_p99", key, late)
        findings.once("spread_first_p99", key, _first_p99(spread))
    _note_broken(findings, key, found, spread)


def over_direct(findings: Findings, contenders: Sequence[Contender]) -> None:
    """What a contender adds to the figures of the streams: its own less those of the backend
    itself, round by round."""
    for measure in STREAMED:
        base = findings.rounds[measure].get(DIRECT, [])
        for key in (one.key for one in contenders if one.key != DIRECT):
            own = findings.rounds[measure].get(key, [])
            added = [mine - theirs for mine, theirs in zip(own, base, strict=False)]
            if added:
                findings.set(f"added_{measure}", key, max(0.0, percentile(added, 0.5)))
            elif (reason := findings.reasons[measure].get(key)) is not None:
                findings.cannot([f"added_{measure}"], key, reason)


def cost(
    findings: Findings, contender: Contender, text: str, stub: Stub, count: int, seconds: float
) -> None:
    """CPU time of all the contender's processes per chunk that came through, while all streams
    flow: opening and ending them does not count."""
    chunks = max(2, round(seconds * TPS))
    stub.pace(chunks, TPS)
    _, each = _follow(contender, text, count, seconds)
    if each:
        findings.once("cpu_per_chunk", contender.key, each)
    elif contender.pids:
        reason = "the streams never flowed all at once, or too little CPU time was used"
        findings.cannot(["cpu_per_chunk"], contender.key, reason)


class _Used(Periodic):
    """CPU seconds of a contender's processes ten times a second, each with its time."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(0.1, self.look)
        self._pids = pids
        self.looks: list[tuple[float, float]] = []

    def look(self) -> None:
        if (used := cpu_seconds(self._pids)) is not None:
            self.looks.append((time.monotonic(), used))


def _follow(
    contender: Contender, text: str, count: int, seconds: float, over_s: float = 0.0
) -> tuple[list[Relayed], float | None]:
    """The streams, and the contender's CPU seconds per chunk."""
    wire = contender.chat(text, close=True, stream=True)
    limit = seconds + over_s + _PATIENCE_S
    with _Used(contender.pids) as used:
        found = follow(contender.endpoint, wire, count, limit_s=limit, over_s=over_s)
    return found, per_chunk([one.at for one in found if one.at], used.looks)


def per_chunk(
    streams: Sequence[Sequence[float]], looks: Sequence[tuple[float, float]]
) -> float | None:
    """CPU seconds per chunk from when the last stream has begun until the first one ends; None if
    there is no such time.

    Args:
        streams: when the chunks of each came.
        looks: times on the same clock, and CPU seconds until then.
    """
    if not streams:
        return None
    begun, ended = max(at[0] for at in streams), min(at[-1] for at in streams)
    inside = [look for look in looks if begun <= look[0] <= ended]
    if len(inside) < 2:
        return None
    (since, before), (until, after) = inside[0], inside[-1]
    chunks = sum(since < at <= until for stream in streams for at in stream)
    return (after - before) / chunks if chunks else None


def _first_p99(whole: Sequence[Relayed]) -> float:
    return percentile([one.answer.chunks[0] for one in whole], 0.99)


def _note_broken(findings: Findings, key: str, found: list[Relayed], whole: list[Relayed]) -> None:
    ids = set(map(id, whole))
    for one in [one for one in found if id(one) not in ids][:1]:
        count = len(found) - len(whole)
        said = f"the first of {count} streams that are not complete: {one.answer.said()}"
        findings.notes.append(f"{key}, {said}")


# Thousands ----------------------------------------------------------------------------------------

SLOW_TPS = 2.0
_THOUSANDS = (
    "", "streams", "complete", "to a chunk p50 ms", "p99 ms", "first content p99 ms",
    "CPU µs per chunk", "RSS MB before", "RSS MB while",
)  # fmt: skip


def thousands(
    contenders: Sequence[Contender],
    text: str,
    stub: Stub,
    counts: Sequence[int],
    seconds: float,
) -> Result:
    """Thousands of streams at 2 chunks a second, opened within a second, contender by contender."""
    title = f"Thousands of streams, {SLOW_TPS:g} chunks a second for {seconds:g} s, 1 worker"
    result = Result("peers", title, _THOUSANDS)
    chunks = max(2, round(seconds * SLOW_TPS))
    few: set[str] = set()
    for count in counts:
        for one in contenders:
            if one.key in few:
                continue
            stub.pace(chunks, SLOW_TPS)
            with Peak({"all": one.pids}, rss_mb) as peak:
                found, each = _follow(one, text, count, seconds, OPENED_OVER_S)
            whole = complete(found, chunks)
            few |= {one.key} if len(whole) < _FEW * count else set()
            _add_thousands(result, one, found, whole, each, peak)
    result.notes += [
        "to a chunk: from the backend's time stamp in it until its client has read it; direct is "
        "the floor of backend and client",
        "CPU while all streams flow; RSS is of all processes of a gateway, together; who "
        "completes fewer than "
        f"{_FEW:.0%} is not asked for more",
    ]
    return result


def _add_thousands(
    result: Result,
    one: Contender,
    found: list[Relayed],
    whole: list[Relayed],
    cpu: float | None,
    peak: Peak,
) -> None:
    late = [delay for stream in whole for delay in stream.delays]
    p50, p99 = (percentile(late, q) if late else None for q in (0.5, 0.99))
    first = _first_p99(whole) if whole else None
    before, most = peak.before["all"][1], peak.mb.get("all") or None
    result.add(
        (f"{one.key}, {len(found):,}", f"{len(found):,}", f"{len(whole):,}", ms(p50), ms(p99),
         ms(first), number(None if cpu is None else cpu * 1e6), number(before, 0),
         number(most, 0)),
        contender=one.key, streams=len(found), complete=len(whole), relay_p50_s=p50,
        relay_p99_s=p99, first_p99_s=first, cpu_per_chunk_s=cpu, rss_mb_before=before, rss_mb=most,
    )  # fmt: skip
    broken = [stream for stream in found if not stream.answer.complete(len(stream.at) or 1)]
    for stream in broken[:1] if len(whole) < len(found) else ():
        result.notes.append(f"{one.key}, {len(found):,}, not complete: {stream.answer.said()}")


# Idle connections ---------------------------------------------------------------------------------

BESIDE = 16  # users
_IDLE = ("", "idle", "p99 ms without", "p99 ms with", "with : without", "still open")


def idle(
    contenders: Sequence[Contender],
    text: str,
    count: int,
    rounds: int,
    seconds: float,
    warm_up: float,
) -> Result:
    """Traffic of 16 users with and without idle connections beside it, in turn."""
    title = f"{count:,} idle connections beside {BESIDE} requests at a time, {rounds} rounds"
    result = Result("peers", title, _IDLE)
    for one in contenders:
        wire = one.chat(text)
        p99: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(rounds):
            for crowded in (False, True):
                with holding(one.endpoint) as held:
                    if crowded:
                        held.idle(count, one.endpoint.wire("/v1/models", None))
                    load = drive(one.endpoint, wire, BESIDE, seconds, warm_up)
                    p99[crowded] += [percentile(load.latencies, 0.99)] if load.latencies else []
                    opened, still = held.held.get("idle", 0), held.still_open().get("idle", 0)
        without, beside = (percentile(p99[c], 0.5) if p99[c] else None for c in (False, True))
        ratios = [b / a for a, b in zip(p99[False], p99[True], strict=False)]
        ratio = percentile(ratios, 0.5) if ratios else None
        result.add(
            (one.key, f"{opened:,}", ms(without), ms(beside), number(ratio, 2), f"{still:,}"),
            contender=one.key, idle=opened, still_open=still, without_s=without, with_s=beside,
            ratio=ratio, ratios=ratios,
        )  # fmt: skip
        if held.problem:
            result.notes.append(f"{one.key}: an idle connection could not be opened: "
                                f"{held.problem[:160]}")  # fmt: skip
    result.notes.append(
        "each idle connection has had one answer; with : without is the median of the rounds"
    )
    return result
