"""The knee: the highest load inside the service levels, and what size of a machine it takes.
Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from bench.slo import RouterSlo
from bench.stats import percentile
from load.verdict import LOCAL, Stretch, routes, shares, totals

_HOLDING = (
    "primary",
    "meta",
)  # whose time is all the primary's: an ENRICH answer searches first, and holds no slot while it does


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
        f"slots of the primary: {step.local_per_s:.1f} requests/s × {step.local_p95:.2f} s (p95) = {local:.1f} at once "
        f"→ {max(1, math.ceil(local))} slots{_beside(slots)}",
        f"threads of the router: {step.per_s:.1f} requests/s × {step.p95:.2f} s (p95) = {everything:.1f} at once{waiting} "
        f"→ {needed} threads{_beside(threads)}",
    ]


def _beside(configured: int | None) -> str:
    return f" (configured: {configured})" if configured else ""
