"""Many streams at once: whether all are complete, how evenly their chunks come, and what that
costs."""

from collections.abc import Callable, Iterable
from itertools import chain

from bench.client import Answer
from bench.crowd import send
from bench.environment import cpu_seconds, pss_mb
from bench.prompts import body
from bench.result import Periodic, Result, Sampler, number, spread
from bench.stand import Stand
from bench.stats import gaps, lateness, summarise

PROFILE = "fast"
STREAMS, CHUNKS, INTERVAL_S = 200, 100, 0.010
STALL = 10  # intervals without a chunk
_LIMIT_S = 40.0
COLUMNS = (
    "", "streams", "complete", "first p50 ms", "first p99 ms", "late p50 ms", "late p99 ms",
    "gap p99 ms", "stalls", "seconds",
)  # fmt: skip
_COST = ("process", "CPU s", "cores", "µs per chunk", "PSS MB before", "PSS MB while")


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """`samples` streams of 100 chunks, one every 10 ms; directly first, as the measure of this
    machine and this client."""
    count, chunks = samples or (10 if quick else STREAMS), 20 if quick else CHUNKS
    title = f"{count} streams at once, {chunks} chunks each, one every {INTERVAL_S * 1000:g} ms"
    table = Result("streams", title, COLUMNS)
    cost = Result("streams", "What the streams cost", _COST)
    # `sim` in the text, because it gets through any router; a configured backend answers as it
    # likes.
    text = f'Count. [[sim {{"tokens": {chunks}, "tps": {1 / INTERVAL_S:g}, "ttft_ms": 0}}]]'
    with sampler.interruptible():
        for name, (endpoint, model) in stand.targets().items():
            sampler.row(name)
            asked = body(text, model, stream=True, max_tokens=chunks)
            simulators = [stand.simulator_pid] if stand.simulator_pid else []
            with Peak({"router": stand.router_pids, "simulator": simulators}) as peak:
                wires = [endpoint.chat(asked, close=True)] * count
                found = send(endpoint, wires, _LIMIT_S)
            _add(table, name, found, chunks)
            if name == "routed":
                _add_cost(cost, peak, [times for stream in found if (times := stream.chunks)])
    table.notes += [
        "first: request sent to first chunk. late: against a steady beat set by the stream's most "
        "punctual chunk;",
        "routed minus direct is what the router adds. "
        f"A stall is a gap of more than {STALL} intervals.",
    ]
    return [table, cost] if cost.rows else [table]


class Peak(Periodic):
    """CPU time and memory of processes while they work; read in a thread, because the client must
    not stop.

    Args:
        memory: how their memory is counted, in MB.
    """

    def __init__(
        self,
        pids: dict[str, list[int]],
        memory: Callable[[Iterable[int]], float | None] = pss_mb,
    ) -> None:
        super().__init__(0.5, self.look)
        self._memory = memory
        self.mb: dict[str, float] = {}  # the largest seen
        self.cpu_s: dict[str, float | None] = {}
        self._pids = pids
        self.before = {name: (cpu_seconds(ids), memory(ids)) for name, ids in pids.items()}

    def __exit__(self, *_: object) -> None:
        self.cpu_s = {name: cpu_seconds(ids) for name, ids in self._pids.items()}
        super().__exit__()

    def look(self) -> None:
        for name, ids in self._pids.items():
            self.mb[name] = max(self.mb.get(name, 0.0), self._memory(ids) or 0.0)


def _add(table: Result, name: str, found: list[Answer], chunks: int) -> None:
    complete = [stream for stream in found if stream.complete(chunks)]
    started = [times for stream in found if (times := stream.chunks)]
    first = summarise([times[0] for times in started])
    late = summarise([late for one in complete for late in lateness(one.chunks, INTERVAL_S)])
    silences = list(chain.from_iterable(map(gaps, started)))
    stalls = sum(value > STALL * INTERVAL_S for value in silences)
    gap, longest = summarise(silences), max((times[-1] for times in started), default=0.0)
    table.add(
        (
            name, str(len(found)), str(len(complete)), *spread(first, "p50", "p99"),
            *spread(late, "p50", "p99"), *spread(gap, "p99"), str(stalls), number(longest, 2),
        ),
        streams=len(found), complete=len(complete), first_s=first, late_s=late, gap_s=gap,
        stalls=stalls, seconds=longest, chunks=sum(map(len, started)),
    )  # fmt: skip
    for stream in [one for one in found if not one.complete(chunks)][:1]:
        table.notes.append(f"{name}, the first that is not complete: {stream.said()}")


def _add_cost(cost: Result, peak: Peak, started: list[list[float]]) -> None:
    """`started`: the times of the chunks of each stream that began."""
    for process, (cpu, memory) in peak.before.items():
        later, most = peak.cpu_s[process], peak.mb.get(process)
        if cpu is None or later is None or not started:
            continue
        used, seconds = later - cpu, max(times[-1] for times in started)
        each = used / sum(map(len, started)) * 1e6
        cost.add(
            (process, number(used, 2), number(used / seconds, 2), number(each), number(memory),
            number(most)),
            cpu_s=used, cores=used / seconds, us_per_chunk=each, pss_mb_before=memory, pss_mb=most,
        )  # fmt: skip
