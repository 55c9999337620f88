"""What is printed after a run, and kept beside it as JSON: traffic by user, the verdict, and the
knee: the highest load inside the service levels, with the size of the machine it takes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from bench.result import NOTHING, Result, ms, number, spread
from bench.slo import RouterSlo
from bench.stats import percentile, summarise
from load.client import Outcome, Sample
from load.verdict import LOCAL, Line, Stretch, routes, shares, totals

_TRAFFIC = (
    "user → route",
    "requests",
    "ok",
    "refused",
    "failed",
    "aborted",
    "gave up",
    "TTFT p50 ms",
    "p95",
    "total p50 ms",
    "p95",
    "tok/s p50",
    "gap p95 ms",
)
_VERDICT = ("service level", "allowed", "measured", "samples", "verdict")
_STEPS = ("load", "answers/s", "p95 ms", "on the primary/s", "p95 ms", "slots busy", "inside?")


def traffic(stretch: Stretch) -> Result:
    """What each kind of user asked for and got."""
    where = f"{stretch.phase.load:g}× ({stretch.phase.name}, {stretch.seconds:.0f} s)"
    result = Result("load", f"Traffic at {where}", _TRAFFIC)
    for key in sorted({(s.user, s.route) for s in stretch.samples}):
        mine = [s for s in stretch.samples if (s.user, s.route) == key]
        result.add(_traffic_row(" → ".join(key), mine))
    result.add(_traffic_row("all", stretch.samples))
    problems = Counter(s.problem for s in stretch.samples if s.outcome is Outcome.FAILED)
    result.notes += [
        f"failed {count} times: {problem[:160]}" for problem, count in problems.most_common(3)
    ]
    return result


def _traffic_row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    counts = Counter(s.outcome for s in samples)
    served = [s for s in samples if s.outcome is Outcome.OK]
    first, total, rates, gaps = (
        summarise([value for s in served if (value := getattr(s, part)) is not None])
        for part in ("ttft", "total", "rate", "gap")
    )
    times = (*spread(first, "p50", "p95"), *spread(total, "p50", "p95"))
    rate = spread(rates, "p50", show=partial(number, digits=0))
    outcomes = (str(counts[outcome] or NOTHING) for outcome in Outcome)
    return (name, str(len(samples)), *outcomes, *times, *rate, *spread(gaps, "p95"))


def verdict(title: str, lines: Sequence[Line]) -> Result:
    """One table of service levels; what was not kept is in `broken` as well."""
    result = Result("load", f"Verdict {title}", _VERDICT)
    for line in lines:
        word = {True: "kept", False: "BREACH", None: "too few"}[line.kept]
        result.add(
            (line.slo, line.limit, line.measured, str(line.n), word),
            allowed=line.limit, measured=line.measured, n=line.n, kept=line.kept,
        )  # fmt: skip
        if line.kept is False:
            result.broken.append(f"{title}: {line.slo}: {line.measured}, allowed {line.limit}")
    return result


# The knee -----------------------------------------------------------------------------------------

# Whose time is all the primary's: an ENRICH answer searches first, and holds no slot meanwhile.
_HOLDING = ("primary", "meta")


@dataclass(frozen=True, slots=True)
class Step:
    """One load. Rates are answers per second; `local` counts those of the primary backend, its p95
    leaves ENRICH out."""

    load: float
    per_s: float
    p95: float
    local_per_s: float
    local_p95: float
    busy: float | None  # slots of the primary in use, on average
    breach: str  # the first service level that was not kept; empty: all were

    @property
    def kept(self) -> bool:
        return not self.breach


def steps(found: Sequence[Stretch], slo: RouterSlo) -> list[Step]:
    """The holds and steps of a run, by their load."""
    result = []
    for stretch in (s for s in found if s.phase.name in ("hold", "step")):
        lines = [*routes(stretch, slo), *shares(stretch, slo)]
        breach = next((f"{line.slo} {line.measured}" for line in lines if line.kept is False), "")
        served = stretch.served()
        whose = (totals(served), totals(stretch.served(*_HOLDING)))
        p95, local_p95 = (percentile(times, 0.95) if times else 0.0 for times in whose)
        busy = [look.in_use for look in stretch.looks if look.in_use is not None]
        per_s, local = len(served) / stretch.seconds, len(stretch.served(*LOCAL)) / stretch.seconds
        mean = sum(busy) / len(busy) if busy else None
        breach = breach or ("" if whose[0] else "nothing was answered")
        result.append(Step(stretch.phase.load, per_s, p95, local, local_p95, mean, breach))
    return sorted(result, key=lambda step: step.load)


def knee(found: Sequence[Step]) -> Step | None:
    """The last step before the first breach; None when already the lowest load is outside."""
    inside = list(takewhile(lambda step: step.kept, sorted(found, key=lambda s: s.load)))
    return inside[-1] if inside else None


def sizing(
    step: Step, slots: int | None = None, queue: int | None = None, threads: int | None = None
) -> list[str]:
    """What this load takes: concurrency = requests per second × p95, as sentences with the figures
    in them."""
    local = step.local_per_s * step.local_p95
    everything = step.per_s * step.p95
    needed = max(1, math.ceil(everything)) + (queue or 0)
    waiting = f" + {queue} that may wait" if queue else ""
    return [
        f"slots of the primary: {step.local_per_s:.1f} requests/s × {step.local_p95:.2f} s (p95) = "
        f"{local:.1f} at once → {max(1, math.ceil(local))} slots{_beside(slots)}",
        f"threads of the router: {step.per_s:.1f} requests/s × {step.p95:.2f} s (p95) = "
        f"{everything:.1f} at once{waiting} → {needed} threads{_beside(threads)}",
    ]


def _beside(configured: int | None) -> str:
    return f" (configured: {configured})" if configured else ""


def knee_table(
    steps: Sequence[Step], slots: int | None, queue: int | None, threads: int | None
) -> Result:
    """The steps, the knee, and the sizing that follows from it."""
    result = Result("load", "The knee: the highest load inside the service levels", _STEPS)
    for step in steps:
        result.add(
            (
                f"{step.load:g}×", number(step.per_s), ms(step.p95), number(step.local_per_s),
                ms(step.local_p95), number(step.busy),
                "yes" if step.kept else step.breach,
            ),
            load=step.load, per_s=step.per_s, p95_s=step.p95, kept=step.kept,
        )  # fmt: skip
    best = knee(steps)
    if best is None or best.load < 1:
        result.broken.append("the rated load is inside the service levels: the knee is below it")
    if best is None:
        result.notes.append("no knee: the lowest load is already outside")
        return result
    more = "; it may be higher, nothing above was tried" if best is steps[-1] else ""
    result.notes += [
        f"knee: {best.load:g}× the rated load, {best.per_s:.1f} answers/s{more}",
        "sizing: concurrency = requests per second × p95",
        *sizing(best, slots, queue, threads),
    ]
    return result
