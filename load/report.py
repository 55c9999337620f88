"""What is printed after a run, and kept beside it as JSON: traffic by user, the verdict, the
knee."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from bench.result import NOTHING, Result, ms, number, spread
from bench.stats import summarise
from load.knee import Step, knee, sizing
from load.samples import Outcome, Sample
from load.verdict import Line, Stretch

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
    result = Result(
        "load",
        f"Traffic at {stretch.phase.load:g}× ({stretch.phase.name}, {stretch.seconds:.0f} s)",
        _TRAFFIC,
    )
    keys = sorted({(s.user, s.route) for s in stretch.samples})
    for user, route in keys:
        result.add(
            _traffic_row(
                f"{user} → {route}",
                [s for s in stretch.samples if (s.user, s.route) == (user, route)],
            )
        )
    result.add(_traffic_row("all", stretch.samples))
    problems = Counter(s.problem for s in stretch.samples if s.outcome is Outcome.FAILED)
    result.notes += [
        f"failed {count} times: {problem[:160]}" for problem, count in problems.most_common(3)
    ]
    busy = [look.in_use for look in stretch.looks if look.in_use is not None]
    waiting = [look.waiting for look in stretch.looks if look.waiting is not None]
    if busy:
        mean, most = sum(busy) / len(busy), max(busy)
        result.notes.append(
            f"slots of the primary in use: {mean:.1f} on average, {most} at most; waiting: {max(waiting, default=0)} at most"
        )
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
    last = best is steps[-1]
    result.notes.append(
        f"knee: {best.load:g}× the rated load, {best.per_s:.1f} answers/s{'; it may be higher, nothing above was tried' if last else ''}"
    )
    result.notes.append("sizing: concurrency = requests per second × p95")
    result.notes += sizing(best, slots, queue, threads)
    return result
