"""Many streams at once: whether all are complete, how evenly their chunks come, and what that costs."""

import threading
from itertools import chain

from bench.client import Endpoint
from bench.environment import cpu_seconds, pss_mb
from bench.prompts import body
from bench.result import NOTHING, Result, ms, number
from bench.sampling import Sampler
from bench.stand import Stand
from bench.stats import Summary, summarise
from bench.stream_client import Stream, receive

PROFILE = "fast"
STREAMS, CHUNKS, INTERVAL_S = 200, 100, 0.010
STALL = 10  # intervals without a chunk
_LIMIT_S = 40.0
COLUMNS = (
    "",
    "streams",
    "complete",
    "first p50 ms",
    "first p99 ms",
    "late p50 ms",
    "late p99 ms",
    "gap p99 ms",
    "stalls",
    "seconds",
)


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """`samples` streams of 100 chunks, one every 10 ms; directly first, as the measure of this machine and this client."""
    count = samples or (10 if quick else STREAMS)
    chunks = 20 if quick else CHUNKS
    table = Result(
        "streams",
        f"{count} streams at once, {chunks} chunks each, one every {INTERVAL_S * 1000:g} ms",
        COLUMNS,
    )
    cost = Result(
        "streams",
        "What the streams cost",
        ("process", "CPU s", "cores", "µs per chunk", "PSS MB before", "PSS MB while"),
    )
    text = f'Count. [[sim {{"tokens": {chunks}, "tps": {1 / INTERVAL_S:g}, "ttft_ms": 0}}]]'
    sampler.meter.start("streams", 3 * chunks * INTERVAL_S + 4)
    targets: list[tuple[str, Endpoint | None, str]] = [
        ("direct", stand.direct if stand.embedded else None, stand.primary_model),
        ("routed", stand.router, f"{stand.virtual_model}/primary"),
    ]
    for name, endpoint, model in targets:
        if endpoint is None or sampler.interrupted:
            continue
        sampler.meter.row(name, 1.5 * chunks * INTERVAL_S + 2)
        # `sim` in the text, because it gets through any router; a configured backend answers as it likes.
        wire = endpoint.wire(
            "/v1/chat/completions", body(text, model, stream=True, max_tokens=chunks), close=True
        )
        pids = {
            "router": stand.router_pids,
            "simulator": [stand.simulator_pid] if stand.simulator_pid else [],
        }
        before = {process: (cpu_seconds(ids), pss_mb(ids)) for process, ids in pids.items()}
        peak = Peak(pids)
        try:
            with peak:
                found = receive(endpoint, wire, count, _LIMIT_S)
        except KeyboardInterrupt:
            sampler.interrupted = True
            break
        _add(table, name, found, chunks)
        if name == "routed":
            _add_cost(
                cost,
                before,
                {process: cpu_seconds(ids) for process, ids in pids.items()},
                peak,
                found,
            )
    table.notes.append(
        "first: request sent to first chunk. late: against a steady beat set by the stream's most punctual chunk;"
    )
    table.notes.append(
        f"routed minus direct is what the router adds. A stall is a gap of more than {STALL} intervals."
    )
    return [table, cost] if cost.rows else [table]


class Peak:
    """Reads the memory of the processes every half second while they work; in a thread, because the client must not stop."""

    def __init__(self, pids: dict[str, list[int]]) -> None:
        self.mb: dict[str, float] = {}
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for process, ids in self._pids.items():
                self.mb[process] = max(self.mb.get(process, 0.0), pss_mb(ids) or 0.0)


def _add(table: Result, name: str, found: list[Stream], chunks: int) -> None:
    complete = [stream for stream in found if stream.complete(chunks)]
    started = [stream for stream in found if stream.arrivals]
    first = summarise([stream.arrivals[0] for stream in started])
    late = summarise(list(chain.from_iterable(stream.lateness(INTERVAL_S) for stream in complete)))
    gaps = list(chain.from_iterable(stream.gaps() for stream in started))
    gap = summarise(gaps)
    stalls = sum(value > STALL * INTERVAL_S for value in gaps)
    longest = max((stream.arrivals[-1] for stream in started), default=0.0)
    cells = (name, str(len(found)), str(len(complete)), *_ends(first), *_ends(late), _ends(gap)[1])
    table.add(
        (*cells, str(stalls), number(longest, 2)),
        streams=len(found), complete=len(complete), first_s=first, late_s=late, gap_s=gap, stalls=stalls, seconds=longest,
        chunks=sum(len(stream.arrivals) for stream in found),
    )  # fmt: skip
    for stream in found:
        if not stream.complete(chunks):
            what = (
                stream.error
                or f"{len(stream.arrivals)} chunks, {'with' if stream.done else 'without'} [DONE]"
            )
            table.notes.append(
                f"{name}, the first that is not complete: status {stream.status}, {what}"
            )
            break


def _ends(summary: Summary | None) -> tuple[str, str]:
    """p50 and p99."""
    return (ms(summary.p50), ms(summary.p99)) if summary else (NOTHING, NOTHING)


def _add_cost(
    cost: Result,
    before: dict[str, tuple[float | None, float | None]],
    after: dict[str, float | None],
    peak: Peak,
    found: list[Stream],
) -> None:
    chunks = sum(len(stream.arrivals) for stream in found)
    seconds = max((stream.arrivals[-1] for stream in found if stream.arrivals), default=0.0)
    for process, (cpu, memory) in before.items():
        later = after[process]
        if cpu is None or later is None or not chunks or not seconds:
            continue
        used = later - cpu
        cost.add(
            (process, number(used, 2), number(used / seconds, 2), number(used / chunks * 1e6), number(memory),
             number(peak.mb.get(process))),
            cpu_s=used, cores=used / seconds, us_per_chunk=used / chunks * 1e6, pss_mb_before=memory, pss_mb=peak.mb.get(process),
        )  # fmt: skip
