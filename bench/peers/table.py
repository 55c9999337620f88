"""What a comparison has measured, and its tables: every measure beside its peers', the ratios, and
what was asked of ai-router."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.peers.gateways import Contender
from bench.result import NOTHING, Result, digits, interval, number
from bench.stats import bootstrap, percentile

QUANTILES = tuple(q / 100 for q in (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99))
US, THEM = "ai-router", ("LiteLLM", "Portkey", "smg")
NOT_AVAILABLE = "n/a"
ONE_PROCESS = ("direct", "nginx", "Portkey", "smg")  # these stand in both lines about workers


class Findings:
    """By measure, then contender. `values`: one figure each; `reasons`: why something cannot be
    measured; `rounds`: a figure of each round; `samples`: of all rounds.

    A measure that is taken once a round gets its figure as the median of the rounds.
    """

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = defaultdict(dict)
        self.reasons: dict[str, dict[str, str]] = defaultdict(dict)
        self.rounds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.notes: list[str] = []

    def set(self, measure: str, key: str, value: float) -> None:
        self.values[measure][key] = value

    def once(self, measure: str, key: str, value: float) -> None:
        self.rounds[measure][key].append(value)
        self.set(measure, key, percentile(self.rounds[measure][key], 0.5))

    def cannot(self, measures: Sequence[str], key: str, reason: str) -> None:
        for measure in measures:
            self.reasons[measure].setdefault(key, reason)

    def value(self, measure: str, key: str) -> float | None:
        return self.values[measure].get(key)

    def has(self, measure: "Measure") -> bool:
        """Whether it was tried: a run may be of some parts only."""
        return measure.key in self.values or measure.key in self.reasons

    def details(self, measure: str) -> dict[str, Any]:
        """For the JSON file: the figure, and the rounds it comes from."""
        found: dict[str, Any] = {}
        for key, value in self.values[measure].items():
            rounds = self.rounds[measure].get(key)
            found[key] = {"value": value, **({"rounds": rounds} if rounds else {})}
        for key, reason in self.reasons[measure].items():
            found.setdefault(key, {})["n/a"] = reason
        return found


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table. `scale` makes the unit in the title of what was measured; `workers`:
    which of a gateway's runs."""

    key: str
    title: str
    scale: float = 1000.0
    digits: int | None = None
    more_is_better: bool = False
    workers: int = 1


MEASURES = (
    Measure("added_whole_p50", "added latency, 1 at a time, p50 ms"),
    Measure("added_whole_p99", "added latency, 1 at a time, p99 ms"),
    Measure("added_whole_p50", "added latency, 1 at a time, 2 workers, p50 ms", workers=2),
    Measure("added_whole_p99", "added latency, 1 at a time, 2 workers, p99 ms", workers=2),
    Measure("requests_per_s", "requests/s, 64 at a time, 2 workers", 1, 0, True, 2),
    Measure("requests_per_s", "requests/s, 64 at a time, 1 worker", 1, 0, True),
    Measure("added_first_p50", "added to the first content, p50 ms"),
    Measure("added_first_p99", "added to the first content, p99 ms"),
    Measure("complete", "streams at once, 2 workers: complete, %", 100, 1, True, 2),
    Measure("added_relay_p99", "streams at once, 2 workers: added to a chunk, p99 ms", workers=2),
    Measure("added_steady_p99", "the same once all streams have begun, p99 ms", workers=2),
    Measure(
        "added_stream_first_p99",
        "streams at once, 2 workers: added to the first content, p99 ms",
        workers=2,
    ),
    Measure(
        "added_spread_relay_p99",
        "streams opened within 1 s, 2 workers: added to a chunk, p99 ms",
        workers=2,
    ),
    Measure(
        "added_spread_first_p99",
        "streams opened within 1 s, 2 workers: added to the first content, p99 ms",
        workers=2,
    ),
    Measure("complete", "streams at once, 1 worker: complete, %", 100, 1, True),
    Measure("added_relay_p99", "streams at once, 1 worker: added to a chunk, p99 ms"),
    Measure("added_steady_p99", "the same once all streams have begun, p99 ms"),
    Measure(
        "added_stream_first_p99", "streams at once, 1 worker: added to the first content, p99 ms"
    ),
    Measure(
        "added_spread_relay_p99", "streams opened within 1 s, 1 worker: added to a chunk, p99 ms"
    ),
    Measure(
        "added_spread_first_p99",
        "streams opened within 1 s, 1 worker: added to the first content, p99 ms",
    ),
    Measure("cpu_per_chunk", "CPU per relayed chunk, 1 worker, µs", 1e6, 0),
    Measure("gone_flowing", "disconnect seen, chunks flowing, ms"),
    Measure("gone_silent", "disconnect seen, silent gap, ms"),
    Measure("gone_whole", "disconnect seen, not streaming, ms"),
    Measure("cold_start", "cold start to the first answer, s", 1, 2),
    Measure("pss_idle", "memory per worker (PSS), idle, MB", 1, 0),
    Measure("pss_loaded", "memory per worker (PSS), under the streams, MB", 1, 0),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What ai-router must reach: a figure of its own, or a ratio to a peer's (ours : theirs)."""

    measure: Measure
    must: float
    stretch: float | None = None
    against: str | None = None


def _find(key: str, workers: int = 1) -> Measure:
    return next(measure for measure in MEASURES if (measure.key, measure.workers) == (key, workers))


GOALS = (
    Goal(_find("added_whole_p50"), 0.9, 0.6),
    Goal(_find("added_whole_p99"), 1.8, 1.0),
    Goal(_find("added_whole_p50"), 1 / 8, None, "LiteLLM"),
    Goal(_find("added_whole_p99"), 1 / 8, None, "LiteLLM"),
    Goal(_find("requests_per_s", 2), 10, 15, "LiteLLM"),
    Goal(_find("requests_per_s", 2), 1.3, 2, "Portkey"),
    Goal(_find("requests_per_s"), 8, None, "LiteLLM"),
    Goal(_find("requests_per_s"), 1, None, "Portkey"),
    Goal(_find("added_first_p50"), 1.2, 0.6),
    Goal(_find("complete", 2), 100, None),
    Goal(_find("added_relay_p99", 2), 15, 2),
    Goal(_find("added_stream_first_p99", 2), 200, 60),
    Goal(_find("gone_flowing"), 100, 5),
    Goal(_find("gone_silent"), 100, 5),
    Goal(_find("gone_whole"), 100, 5),
    Goal(_find("cold_start"), 1.5, 0.6),
    Goal(_find("pss_idle"), 120, 70),
    Goal(_find("pss_loaded"), 220, 120),
)


def key_for(measure: Measure, name: str) -> str:
    """Under which key a contender's figure stands: its run with that many workers, or its only
    one."""
    return name if measure.workers == 1 or name in ONE_PROCESS else f"{name} ×{measure.workers}"


def tables(
    findings: Findings, contenders: Sequence[Contender], absent: dict[str, str], title: str
) -> list[Result]:
    """Everything that was measured; `absent`: peers that are not there at all, and why."""
    names = list(dict.fromkeys([contender.name for contender in contenders] + list(absent)))
    return [
        _measured(findings, names, absent, title),
        _goals(findings, names),
        _who(contenders, absent),
    ]


def _measured(findings: Findings, names: list[str], absent: dict[str, str], title: str) -> Result:
    ratios = [name for name in THEM if name in names and US in names]
    result = Result("peers", title, ("", *names, *(f"{US} : {name}" for name in ratios)))
    reasons: dict[str, list[str]] = {}
    for measure in filter(findings.has, MEASURES):
        cells = []
        for name in names:
            key = key_for(measure, name)
            cell = figure(findings.value(measure.key, key), measure)
            if cell == NOTHING and (
                reason := absent.get(name) or findings.reasons[measure.key].get(key)
            ):
                cell = NOT_AVAILABLE
                reasons.setdefault(f"{key}: {reason}", []).append(measure.title)
            cells.append(cell)
        for name in ratios:
            found = None if measure.key == "complete" else ratio(findings, measure, name)
            cells.append(number(found, 2 if found and found < 10 else 1))
        result.add((measure.title, *cells), measure=measure.key, workers=measure.workers,
            contenders=findings.details(measure.key),
                   own=findings.details(measure.key.removeprefix("added_")))  # fmt: skip
    grids: dict[str, dict[str, float]] = {}
    for key in names:
        if pooled := findings.samples["added_whole"][key]:
            grids[key] = {f"{q:g}": percentile(pooled, q) for q in QUANTILES}
    if grids:
        first = result.rows[0]
        result.rows[0] = replace(first, data={**first.data, "quantiles_s": grids})
    result.notes += [
        f"{NOT_AVAILABLE}: {reason} ({', '.join(titles)})" for reason, titles in reasons.items()
    ]
    result.notes += findings.notes
    return result


def _goals(findings: Findings, names: list[str]) -> Result:
    result = Result(
        "peers", f"{US} and what was asked of it", ("", "must", "stretch", "measured", "reached")
    )
    for goal in (goal for goal in GOALS if US in names and findings.has(goal.measure)):
        measured = own(findings, goal)
        sign = "≥" if goal.measure.more_is_better else "≤"
        what = f"{goal.measure.title} : {goal.against}" if goal.against else goal.measure.title
        stretch = NOTHING if goal.stretch is None else f"{sign} {goal.stretch:g}"
        shown = f"{measured:.3g}" if measured and measured < 1000 else number(measured, 0)
        result.add(
            (what, f"{sign} {goal.must:g}", stretch, shown, verdict(goal, measured)),
            must=goal.must, stretch=goal.stretch, measured=measured, against=goal.against,
            verdict=verdict(goal, measured),
        )  # fmt: skip
    return result


def _who(contenders: Sequence[Contender], absent: dict[str, str]) -> Result:
    result = Result("peers", "What was compared", ("", "version", "how it ran"))
    for contender in contenders:
        result.add(
            (contender.key, contender.version or NOTHING, contender.settings),
            version=contender.version,
            settings=contender.settings,
        )
    for name, reason in absent.items():
        result.add((name, NOTHING, f"{NOT_AVAILABLE}: {reason}"), reason=reason)
    return result


def figure(value: float | None, measure: Measure) -> str:
    """As printed, with as many digits as it deserves."""
    if value is None:
        return NOTHING
    scaled = value * measure.scale
    return number(scaled, digits(scaled) if measure.digits is None else measure.digits)


def ratio(findings: Findings, measure: Measure, against: str) -> float | None:
    """Ours : theirs; None where one of them is missing, or theirs is nothing."""
    ours = findings.value(measure.key, key_for(measure, US))
    theirs = findings.value(measure.key, key_for(measure, against))
    return None if ours is None or not theirs else ours / theirs


def own(findings: Findings, goal: Goal) -> float | None:
    """What a goal compares: our figure in its unit, or the ratio."""
    if goal.against is not None:
        return ratio(findings, goal.measure, goal.against)
    value = findings.value(goal.measure.key, key_for(goal.measure, US))
    return None if value is None else value * goal.measure.scale


def verdict(goal: Goal, measured: float | None) -> str:
    if measured is None:
        return NOTHING

    def reached(limit: float) -> bool:
        return measured >= limit if goal.measure.more_is_better else measured <= limit

    if goal.stretch is not None and reached(goal.stretch):
        return "stretch"
    return "yes" if reached(goal.must) else "NO"


# Of this checkout and another one: (measure, workers, title, more is better, the ratio's upper
# bound may be so high).
PAIRED = (
    ("whole_p50", 1, "whole answer, 1 at a time, p50", False, 1.05),
    ("whole_p99", 1, "whole answer, 1 at a time, p99", False, 1.25),
    ("first_p50", 1, "first content of a stream, p50", False, 1.05),
    ("first_p99", 1, "first content of a stream, p99", False, 1.25),
    ("requests_per_s", 1, "requests/s, 64 at a time, 1 worker", True, 1.05),
    ("requests_per_s", 2, "requests/s, 64 at a time, 2 workers", True, 1.05),
    ("loaded_p50", 1, "64 at a time, 1 worker, p50", False, 1.05),
    ("loaded_p99", 1, "64 at a time, 1 worker, p99", False, 1.25),
    ("cpu_per_chunk", 1, "CPU per relayed chunk, 1 worker, µs", False, 1.05),
)
_ENOUGH = 5  # rounds, below which nothing is promised


def against(findings: Findings, rounds: int, other: str = "against") -> Result:
    """This checkout beside another one, round by round. Above 1 this one is slower, whatever the
    measure."""
    columns = ("", "rounds", "this", "other", "ratio [95 % interval]", "upper bound", "kept")
    result = Result("peers", f"This checkout and another one, {rounds} rounds in turn", columns)
    for measure, workers, title, more, limit in PAIRED:
        suffix = "" if workers == 1 else f" ×{workers}"
        keys = (US + suffix, other + suffix)
        mine, theirs = (findings.rounds[measure].get(key, []) for key in keys)
        ratios = [b / a if more else a / b for a, b in zip(mine, theirs, strict=False)]
        if not ratios:
            reason = next(filter(None, (findings.reasons[measure].get(key) for key in keys)), "")
            result.add((title, "0", *[NOTHING] * 3, f"≤ {limit:g}", reason or NOTHING))
            continue
        (found,) = bootstrap(ratios, (0.5,))
        scale = 1.0 if more else 1e6 if measure == "cpu_per_chunk" else 1000.0
        figures = (scale * percentile(values, 0.5) for values in (mine, theirs))
        kept = found.high <= limit if len(ratios) >= _ENOUGH else None
        said = {None: "too few rounds", True: "yes", False: "NO"}[kept]
        if kept is False:
            result.broken.append(
                f"{title}: up to {found.high:.3f} of the other's, allowed {limit:g}"
            )
        shown = interval(found, scale=1.0, places=3)
        result.add(
            (title, str(len(ratios)), *(number(value, digits(value)) for value in figures), shown,
            f"≤ {limit:g}", said),
            measure=measure, workers=workers, ratios=ratios, ratio=found, limit=limit, kept=kept,
        )  # fmt: skip
    result.notes.append(
        "ratio: the median of the rounds' ratios, with its bootstrap interval over the rounds; "
        "above 1 this one is slower"
    )
    return result
