"""Samples against service levels, phase by phase. Pure: what ramps and settles is left out, too few samples are not judged."""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from bench.result import NOTHING, ms
from bench.slo import LevelSlo, Percentiles, RouterSlo
from bench.stats import percentile
from load.plan import Phase
from load.probe import Look
from load.samples import Outcome, Sample

OWN_PACE = frozenset(("slow reader",))  # how long its answers last is its own doing
LOCAL = frozenset(
    ("primary", "meta", "enrich")
)  # the routes that end on the primary, whose slots the load is measured in
_UNASKED = frozenset(
    (Outcome.ABORTED, Outcome.GAVE_UP)
)  # the client's doing: neither served nor failed


@dataclass(frozen=True, slots=True)
class Line:
    """One service level: what it allows, what was measured from `n` samples. `kept` is None where they are too few."""

    slo: str
    limit: str
    measured: str
    n: int
    kept: bool | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase as it happened, with the requests that were sent in it."""

    phase: Phase
    start: float
    end: float
    samples: list[Sample] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def served(self, *routes: str) -> list[Sample]:
        """What was answered, on these routes or on all."""
        return [
            s for s in self.samples if s.outcome is Outcome.OK and (not routes or s.route in routes)
        ]


def stretches(
    phases: Sequence[Phase],
    marks: Sequence[tuple[int, float]],
    samples: Iterable[Sample],
    looks: Iterable[Look] = (),
) -> list[Stretch]:
    """The counted phases that took place whole; `marks` says when each began, and with the index after the last, when all ended."""
    began = dict(marks)
    found = []
    everything, seen = list(samples), list(looks)
    for i, phase in enumerate(phases):
        if not phase.counted or i not in began or i + 1 not in began:
            continue
        start, end = began[i], began[i + 1]
        found.append(
            Stretch(
                phase, start, end, [s for s in everything if start <= s.at < end], [look for look in seen if start <= look.at < end]
            )
        )  # fmt: skip
    return found


def judge(found: Sequence[Stretch], slo: RouterSlo) -> list[tuple[str, list[Line]]]:
    """A title and its lines for every stretch with promises of its own. Nothing measured is a promise not kept."""
    tables: list[tuple[str, list[Line]]] = []
    calm = next((stretch for stretch in found if stretch.phase.name == "hold"), None)
    if calm is not None:
        lines = rated(calm, slo)
        if slo.drift is not None and calm.seconds >= 60:
            lines.append(_drift(calm, slo))
        tables.append((f"at {calm.phase.load:g}×, {calm.seconds:.0f} s", lines))
    for stretch in found:
        load = stretch.phase.load
        if stretch.phase.name == "level" and load in slo.levels:
            tables.append(
                (
                    f"at {load:g}×, {stretch.seconds:.0f} s",
                    against(slo.levels[load], stretch, calm, slo.at_least),
                )
            )
        if stretch.phase.name == "recovery":
            tables.append(
                (
                    f"back at 1×, {stretch.seconds:.0f} s",
                    against(slo.recovery, stretch, calm, slo.at_least),
                )
            )
    if not any(stretch.served() for stretch in found):
        tables.append(("the run", [Line("requests answered", "> 0", "0", 0, False)]))
    return tables


def breaches(tables: Iterable[tuple[str, list[Line]]]) -> list[str]:
    return [
        f"{title}: {line.slo} {line.measured}, allowed {line.limit}"
        for title, lines in tables
        for line in lines
        if line.kept is False
    ]


# One stretch ---------------------------------------------------------------------------------------------------------


def rated(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    """All that is promised at the rated load."""
    lines = routes(stretch, slo)
    streams = [s for s in stretch.served() if s.user not in OWN_PACE and s.ttft is not None]
    least = slo.at_least
    lines += _times(
        "longest silence in a stream",
        slo.streams.gap_ms,
        [s.gap for s in streams if s.gap is not None],
        least,
    )
    if slo.streams.tokens_per_s is not None:
        rates = sorted(s.rate for s in streams if s.rate is not None)
        value = percentile(rates, 0.5) if rates else 0.0
        kept = value >= slo.streams.tokens_per_s if len(rates) >= least else None
        lines.append(
            Line(
                "tokens/s of a stream, p50",
                f"≥ {slo.streams.tokens_per_s:g}",
                f"{value:.0f}",
                len(rates),
                kept,
            )
        )
    lines += shares(stretch, slo)
    lines.append(_availability(stretch, slo))
    added = [look.added for look in stretch.looks if look.added is not None]
    if added:
        lines += _times("added by the router", slo.added_ms, added, least)
    return lines


def routes(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    """Latency per route."""
    lines: list[Line] = []
    for route, wanted in slo.routes.items():
        served = [s for s in stretch.served(route) if s.user not in OWN_PACE]
        lines += _times(
            f"{route}: first content",
            wanted.ttft_ms,
            [s.ttft for s in served if s.ttft is not None],
            slo.at_least,
        )
        lines += _times(
            f"{route}: whole answer", wanted.total_ms, [s.total for s in served], slo.at_least
        )
    return lines


def shares(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    """Failed and refused requests."""
    return [
        _share("failed", (0.0, slo.failed_share), stretch, Outcome.FAILED, slo.at_least),
        _share(
            "refused (429, 503)", (0.0, slo.refused_share), stretch, Outcome.REFUSED, slo.at_least
        ),
    ]


def against(level: LevelSlo, stretch: Stretch, calm: Stretch | None, least: int) -> list[Line]:
    """What is promised at a multiple of the rated load, or afterwards."""
    lines: list[Line] = []
    if level.p95_growth is not None:
        before = _totals(calm) if calm is not None else []
        now = _totals(stretch)
        n = min(len(before), len(now))
        growth = percentile(now, 0.95) / percentile(before, 0.95) if n else 0.0
        shown = (
            f"{ms(percentile(before, 0.95))} → {ms(percentile(now, 0.95))} ms: × {growth:.2f}"
            if n
            else NOTHING
        )
        lines.append(
            Line(
                "primary: p95 against 1×",
                f"≤ × {level.p95_growth:g}",
                shown,
                n,
                growth <= level.p95_growth if n >= least else None,
            )
        )
    if level.refused_share is not None:
        lines.append(
            _share(
                "refused, of those for the primary",
                level.refused_share,
                stretch,
                Outcome.REFUSED,
                least,
                LOCAL,
            )
        )
    told = [s.total for s in stretch.samples if s.outcome is Outcome.REFUSED]
    lines += _times("refused: told so", level.told_ms, told, 1)
    if level.failed_share is not None:
        lines.append(_share("failed", (0.0, level.failed_share), stretch, Outcome.FAILED, least))
    return lines


def _totals(stretch: Stretch) -> list[float]:
    return sorted(s.total for s in stretch.served("primary") if s.user not in OWN_PACE)


def _times(name: str, limits: Percentiles, values: Sequence[float], least: int) -> list[Line]:
    ordered = sorted(values)
    lines = []
    for title, limit in limits.limits().items():
        if not ordered:
            lines.append(Line(f"{name}, {title}", f"≤ {limit:,g} ms", NOTHING, 0, None))
            continue
        value = percentile(ordered, int(title[1:]) / 100)
        kept = value * 1000 <= limit if len(ordered) >= least else None
        lines.append(
            Line(f"{name}, {title}", f"≤ {limit:,g} ms", f"{ms(value)} ms", len(ordered), kept)
        )
    return lines


def _share(
    name: str,
    allowed: tuple[float, float],
    stretch: Stretch,
    outcome: Outcome,
    least: int,
    chosen: Set[str] | None = None,
) -> Line:
    asked = [
        s
        for s in stretch.samples
        if s.outcome not in _UNASKED and (chosen is None or s.route in chosen)
    ]
    low, high = allowed
    limit = f"≤ {100 * high:g} %" if not low else f"{100 * low:g} … {100 * high:g} %"
    if not asked:
        return Line(name, limit, NOTHING, 0, None)
    count = sum(s.outcome is outcome for s in asked)
    share = count / len(asked)
    kept: bool | None = low <= share <= high
    if (
        len(asked) < least
    ):  # too few, unless the level would be missed even if all the missing ones were well
        kept = False if count / least > high else None
    return Line(name, limit, f"{100 * share:.2f} % ({count})", len(asked), kept)


def _availability(stretch: Stretch, slo: RouterSlo) -> Line:
    """Seconds in which at least half of what ended had not failed, of those in which anything ended."""
    ended: dict[int, list[bool]] = defaultdict(list)
    for sample in stretch.samples:
        if sample.outcome not in _UNASKED:
            ended[int(sample.at + sample.total)].append(sample.outcome is not Outcome.FAILED)
    if not ended:
        return Line("available", f"≥ {100 * slo.availability:g} %", NOTHING, 0, None)
    good = sum(2 * sum(second) >= len(second) for second in ended.values())
    share = good / len(ended)
    return Line(
        "available",
        f"≥ {100 * slo.availability:g} %",
        f"{100 * share:.1f} % of {len(ended)} s",
        len(ended),
        share >= slo.availability,
    )


def _drift(stretch: Stretch, slo: RouterSlo) -> Line:
    quarter = stretch.seconds / 4
    served = [s for s in stretch.served("primary") if s.user not in OWN_PACE]
    first = sorted(s.total for s in served if s.at < stretch.start + quarter)
    last = sorted(s.total for s in served if s.at >= stretch.end - quarter)
    n = min(len(first), len(last))
    growth = percentile(last, 0.95) / percentile(first, 0.95) if n else 0.0
    kept = growth <= (slo.drift or 0.0) if n >= slo.at_least else None
    return Line(
        "primary: p95, last quarter against first", f"≤ × {slo.drift:g}", f"× {growth:.2f}", n, kept
    )
