"""Samples against service levels, phase by phase. Pure: what ramps and settles is left out, too few
samples are not judged."""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from bench.result import NOTHING, ms
from bench.slo import LevelSlo, Percentiles, RouterSlo
from bench.stats import percentile
from load.client import Outcome, Sample
from load.plan import Phase
from load.stand import Look

OWN_PACE = frozenset(("slow reader",))  # how long its answers last is its own doing
# The routes that end on the primary, whose slots the load is measured in.
LOCAL = frozenset(("primary", "meta", "enrich"))
# The client's doing: neither served nor failed.
_UNASKED = frozenset((Outcome.ABORTED, Outcome.GAVE_UP))


@dataclass(frozen=True, slots=True)
class Line:
    """One service level: what it allows, what was measured from `n` samples. `kept` is None where
    they are too few."""

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
    """The counted phases that took place whole; `marks` says when each began, and with the index
    after the last, when all ended."""
    began = dict(marks)
    found = []
    everything, seen = list(samples), list(looks)
    for i, phase in enumerate(phases):
        if not phase.counted or i not in began or i + 1 not in began:
            continue
        start, end = began[i], began[i + 1]
        sent = [sample for sample in everything if start <= sample.at < end]
        looked = [look for look in seen if start <= look.at < end]
        found.append(Stretch(phase, start, end, sent, looked))
    return found


def judge(found: Sequence[Stretch], slo: RouterSlo) -> list[tuple[str, list[Line]]]:
    """A title and its lines for every stretch with promises of its own. Nothing measured is a
    promise not kept."""
    tables: list[tuple[str, list[Line]]] = []
    calm = next((stretch for stretch in found if stretch.phase.name == "hold"), None)
    if calm is not None:
        lines = rated(calm, slo)
        if slo.drift is not None and calm.seconds >= 60:
            quarter, served = calm.seconds / 4, calm.served("primary")
            first = totals(s for s in served if s.at < calm.start + quarter)
            last = totals(s for s in served if s.at >= calm.end - quarter)
            what = "primary: p95, last quarter against first"
            lines.append(_growth(what, slo.drift, first, last, slo.at_least))
        tables.append((f"at {calm.phase.load:g}×, {calm.seconds:.0f} s", lines))
    for stretch in found:
        load, level = stretch.phase.load, None
        if stretch.phase.name == "level":
            where, level = f"at {load:g}×", slo.levels.get(load)
        elif stretch.phase.name == "recovery":
            where, level = "back at 1×", slo.recovery
        if level is not None:
            lines = against(level, stretch, calm, slo.at_least)
            tables.append((f"{where}, {stretch.seconds:.0f} s", lines))
    if not any(stretch.served() for stretch in found):
        tables.append(("the run", [Line("requests answered", "> 0", "0", 0, False)]))
    return tables


# One stretch --------------------------------------------------------------------------------------


def rated(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    """All that is promised at the rated load."""
    lines, least = routes(stretch, slo), slo.at_least
    streams = [s for s in stretch.served() if s.user not in OWN_PACE and s.ttft is not None]
    silences = [s.gap for s in streams if s.gap is not None]
    lines += _times("longest silence in a stream", slo.streams.gap_ms, silences, least)
    if (wanted := slo.streams.tokens_per_s) is not None:
        rates = [s.rate for s in streams if s.rate is not None]
        value = percentile(rates, 0.5) if rates else 0.0
        kept = value >= wanted if len(rates) >= least else None
        what = "tokens/s of a stream, p50"
        lines.append(Line(what, f"≥ {wanted:g}", f"{value:.0f}", len(rates), kept))
    lines += [*shares(stretch, slo), _availability(stretch, slo)]
    added = [look.added for look in stretch.looks if look.added is not None]
    return lines + (_times("added by the router", slo.added_ms, added, least) if added else [])


def routes(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    lines: list[Line] = []
    for route, wanted in slo.routes.items():
        served = [s for s in stretch.served(route) if s.user not in OWN_PACE]
        first = [s.ttft for s in served if s.ttft is not None]
        lines += _times(f"{route}: first content", wanted.ttft_ms, first, slo.at_least)
        lines += _times(f"{route}: whole answer", wanted.total_ms, totals(served), slo.at_least)
    return lines


def shares(stretch: Stretch, slo: RouterSlo) -> list[Line]:
    asked = (
        ("failed", slo.failed_share, Outcome.FAILED),
        ("refused (429, 503)", slo.refused_share, Outcome.REFUSED),
    )
    return [_share(name, (0.0, most), stretch, of, slo.at_least) for name, most, of in asked]


def against(level: LevelSlo, stretch: Stretch, calm: Stretch | None, least: int) -> list[Line]:
    """What is promised at a multiple of the rated load, or afterwards."""
    lines: list[Line] = []
    if level.p95_growth is not None:
        before = totals(calm.served("primary")) if calm is not None else []
        now = totals(stretch.served("primary"))
        lines.append(_growth("primary: p95 against 1×", level.p95_growth, before, now, least))
    if level.refused_share is not None:
        what = "refused, of those for the primary"
        lines.append(_share(what, level.refused_share, stretch, Outcome.REFUSED, least, LOCAL))
    told = [s.total for s in stretch.samples if s.outcome is Outcome.REFUSED]
    lines += _times("refused: told so", level.told_ms, told, 1)
    if level.failed_share is not None:
        lines.append(_share("failed", (0.0, level.failed_share), stretch, Outcome.FAILED, least))
    return lines


def totals(samples: Iterable[Sample]) -> list[float]:
    """Seconds of the whole answers, but for those whose clients set the pace."""
    return [s.total for s in samples if s.user not in OWN_PACE]


def _growth(name: str, most: float, before: list[float], now: list[float], least: int) -> Line:
    n = min(len(before), len(now))
    old, new = (percentile(times, 0.95) if n else 0.0 for times in (before, now))
    growth = new / old if n else 0.0
    shown = f"{ms(old)} → {ms(new)} ms: × {growth:.2f}" if n else NOTHING
    return Line(name, f"≤ × {most:g}", shown, n, growth <= most if n >= least else None)


def _times(name: str, limits: Percentiles, values: Sequence[float], least: int) -> list[Line]:
    lines = []
    for title, limit in limits.limits().items():
        value, kept = percentile(values, int(title[1:]) / 100) if values else None, None
        if value is not None and len(values) >= least:
            kept = value * 1000 <= limit
        shown = NOTHING if value is None else f"{ms(value)} ms"
        lines.append(Line(f"{name}, {title}", f"≤ {limit:,g} ms", shown, len(values), kept))
    return lines


def _share(
    name: str,
    allowed: tuple[float, float],
    stretch: Stretch,
    outcome: Outcome,
    least: int,
    chosen: Set[str] | None = None,
) -> Line:
    counted = [s for s in stretch.samples if s.outcome not in _UNASKED]
    asked = [s for s in counted if chosen is None or s.route in chosen]
    low, high = allowed
    limit = f"≤ {100 * high:g} %" if not low else f"{100 * low:g} … {100 * high:g} %"
    if not asked:
        return Line(name, limit, NOTHING, 0, None)
    count = sum(s.outcome is outcome for s in asked)
    share = count / len(asked)
    kept: bool | None = low <= share <= high
    # Too few, unless the level would be missed even if all the missing ones were well.
    if len(asked) < least:
        kept = False if count / least > high else None
    return Line(name, limit, f"{100 * share:.2f} % ({count})", len(asked), kept)


def _availability(stretch: Stretch, slo: RouterSlo) -> Line:
    """Seconds in which at least half of what ended had not failed, of those in which anything
    ended."""
    ended: dict[int, list[bool]] = defaultdict(list)
    for sample in stretch.samples:
        if sample.outcome not in _UNASKED:
            ended[int(sample.at + sample.total)].append(sample.outcome is not Outcome.FAILED)
    limit = f"≥ {100 * slo.availability:g} %"
    if not ended:
        return Line("available", limit, NOTHING, 0, None)
    share = sum(2 * sum(second) >= len(second) for second in ended.values()) / len(ended)
    shown = f"{100 * share:.1f} % of {len(ended)} s"
    return Line("available", limit, shown, len(ended), share >= slo.availability)
