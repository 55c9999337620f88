"""The knee: the highest load inside the service levels, and what size of a machine it takes. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.slo import RouterSlo
from bench.stats import percentile
from load.verdict import LOCAL, OWN_PACE, Stretch, routes, shares

_HOLDING = (
    "primary",
    "meta",
)  # whose time is all the primary's: an ENRICH answer searches first, and holds no slot while it does


@dataclass(frozen=True, slots=True)
class Step:
    """One load. Rates are answers per second; `local` counts those of the primary backend, its p95 leaves ENRICH out."""

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
    for stretch in sorted(
        (s for s in found if s.phase.name in ("hold", "step")), key=lambda s: s.phase.load
    ):
        lines = [*routes(stretch, slo), *shares(stretch, slo)]
        breach = next((f"{line.slo} {line.measured}" for line in lines if line.kept is False), "")
        everything, local = _totals(stretch), _totals(stretch, *_HOLDING)
        if not everything:
            breach = breach or "nothing was answered"
        busy = [look.in_use for look in stretch.looks if look.in_use is not None]
        result.append(
            Step(
                stretch.phase.load,
                len(stretch.served()) / stretch.seconds,
                percentile(everything, 0.95) if everything else 0.0,
                len(stretch.served(*LOCAL)) / stretch.seconds,
                percentile(local, 0.95) if local else 0.0,
                sum(busy) / len(busy) if busy else None,
                breach,
            )
        )
    return result


def knee(found: Sequence[Step]) -> Step | None:
    """The last step before the first breach; None when already the lowest load is outside."""
    best = None
    for step in sorted(found, key=lambda s: s.load):
        if not step.kept:
            break
        best = step
    return best


def sizing(
    step: Step, slots: int | None = None, queue: int | None = None, threads: int | None = None
) -> list[str]:
    """What this load takes: concurrency = requests per second × p95, as sentences with the figures in them."""
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


def _totals(stretch: Stretch, *chosen: str) -> list[float]:
    return sorted(s.total for s in stretch.served(*chosen) if s.user not in OWN_PACE)
