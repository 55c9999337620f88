"""What was measured of endpoints, kept from run to run as JSON under `logs/slo`: calibrations,
which become service levels, and baselines, which later runs are compared with."""

import argparse
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from bench.client import Failure
from bench.endpoint import QUICK, Subject, Timing, chosen, counts, endpoints, simulated, title
from bench.environment import environment, gpu
from bench.options import Options
from bench.result import NOTHING, Result, Sampler, counted, interval, ms, number, spread
from bench.slo import CalibrationRule, EndpointProfile, SloError
from bench.stand import Unavailable
from bench.stats import bootstrap, percentile, summarise

_KEPT = 20  # of each endpoint
Kind = Literal["baseline", "calibration"]


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement. `seconds` are the samples themselves, so that a later one can be compared
    with them."""

    endpoint: str
    model: str
    version: str | None
    hardware: str
    state: str  # of the GPU when it was measured
    date: str
    simulated: bool
    seconds: list[float]
    rates: list[float] = field(default_factory=list)
    rtt_s: float = 0.0
    threshold_ms: float | None = None
    base: str | None = None

    @property
    def day(self) -> str:
        return datetime.fromisoformat(self.date).astimezone(UTC).strftime("%Y-%m-%d")


def record(subject: Subject, timings: list[Timing], **more: Any) -> Record:
    return Record(
        subject.name, subject.served, subject.version(), hardware(), gpu(), environment()["date"],
        simulated(subject.profile), [t.seconds for t in timings],
        [t.rate for t in timings if t.rate is not None], **more,
    )  # fmt: skip


def hardware() -> str:
    """What this machine is, without anything that changes from minute to minute. Of a server
    elsewhere it says nothing."""
    cards = "; ".join(part.split(",")[0].strip() for part in gpu().split(";"))
    return f"{platform.node()}: {environment()['cpu']}, {environment()['cores']} cores, {cards}"


def load(store: Path, profile: str, kind: Kind) -> dict[str, list[Record]]:
    """By endpoint, oldest first.

    Raises:
        SloError: the file is there and cannot be read.
    """
    path = store / f"{profile}-{kind}.json"
    if not path.exists():
        return {}
    try:
        rows: Mapping[str, list[dict[str, Any]]] = orjson.loads(path.read_bytes())
        return {name: [Record(**row) for row in found] for name, found in rows.items()}
    except (OSError, orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise SloError(f"{path} cannot be read: {error}") from None


def save(store: Path, profile: str, kind: Kind, records: list[Record]) -> Path:
    """Add these; the last few of each endpoint stay. The file's path."""
    found = load(store, profile, kind)
    for each in records:
        found[each.endpoint] = [*found.get(each.endpoint, []), each][-_KEPT:]
    store.mkdir(parents=True, exist_ok=True)
    path = store / f"{profile}-{kind}.json"
    draft = path.with_name(path.name + ".part")
    rows = {name: [asdict(each) for each in kept] for name, kept in found.items()}
    draft.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    return draft.replace(path)


def last_of(records: list[Record], profile: EndpointProfile) -> Record | None:
    """The last one of the same kind of endpoint, simulated or not."""
    like = simulated(profile)
    return next((each for each in reversed(records) if each.simulated == like), None)


# ./Benchmark calibrate: threshold = (base + RTT) × margin, rounded --------------------------------

_CALIBRATED = (
    "endpoint", "model there", "n", "P50 ms", "P95 ms", "P99 ms", "RTT ms", "base", "threshold ms",
    "level now", "embeddings/s", "floor",
)  # fmt: skip
CALIBRATE_ARGUMENTS: Options = {
    "--base": dict(choices=("p95", "p99"),
    help="what the threshold is made of (default: the profile's)"),
    "--dry-run": dict(action="store_true", help="do not keep the result"),
}  # fmt: skip


def nearest(value: float, step: float) -> float:
    """To the nearest multiple, a half upwards; never to nothing: the smallest is one step."""
    return max(step, math.floor(value / step + 0.5) * step)


def threshold_ms(base_ms: float, rtt_ms: float, rule: CalibrationRule) -> float:
    """(375 + 25) × 2 = 800."""
    return nearest((base_ms + rtt_ms) * rule.margin, rule.round_ms)


def floor_per_s(measured: float, rule: CalibrationRule) -> float:
    """What a rate may fall to: the margin the other way round. A rate below one step is not
    rounded: zero would promise nothing."""
    allowed, step = measured / rule.margin, rule.round_embeddings
    return nearest(allowed, step) if allowed >= step / 2 else allowed


def calibrate(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """One row per endpoint that can be reached; what was found is kept for `due`."""
    profile = chosen(args)
    rule, (samples, warm_up) = profile.calibration, counts(args, profile)
    base = args.base or rule.base
    table = Result("calibrate", title("Calibration", profile, args), _CALIBRATED)
    table.notes += [
        f"threshold = ({base.upper()} + RTT) × {rule.margin:g}, to the nearest {rule.round_ms:g} "
        "ms; both as measured from here",
        f"{warm_up} warm-ups, {samples} iterations",
        f"floor of embeddings/s = P50 / {rule.margin:g}, to the nearest {rule.round_embeddings:g}",
        f"hardware: {hardware()}",
    ]
    records: list[Record] = []
    for name, subject in endpoints(sampler, args, profile):
        if isinstance(subject, str):
            table.add((name, f"skipped: {subject}", *[NOTHING] * 10))
            continue
        try:
            rtt = subject.round_trip()
            timings = subject.baseline(sampler, samples, warm_up)
        except Failure as failure:
            table.add((name, subject.served, f"failed: {failure}", *[NOTHING] * 9))
            continue
        found = summarise([t.seconds for t in timings.values])
        threshold = threshold_ms(1000 * getattr(found, base), 1000 * rtt, rule)
        each = record(subject, timings.values, rtt_s=rtt, threshold_ms=threshold, base=base)
        embeds = subject.slo.kind == "embedding" and bool(each.rates)
        rate = percentile(each.rates, 0.5) if embeds else None
        floor = floor_per_s(rate, rule) if rate is not None else None
        now = subject.slo.latency_ms.p95 if subject.slo.latency_ms else None
        rest = (number(value, 0) for value in (threshold, now, rate, floor))
        table.add(
            (name, each.model, counted(timings), *spread(found), ms(rtt), base.upper(), *rest),
            latency_s=found, rtt_s=rtt, base=base, threshold_ms=threshold, embeddings_per_s=rate,
            floor_per_s=floor, hardware=each.hardware, hardware_state=each.state, model=each.model,
        )  # fmt: skip
        records.append(each)
    if records and not args.dry_run and not sampler.interrupted:
        path = save(args.store, profile.name, "calibration", records)
        table.notes.append(f"kept in {path}; ./Benchmark due tells when to do it again")
    return [table]


# ./Benchmark due: whether to calibrate again ------------------------------------------------------

_DUE_SAMPLES, _DUE_WARM_UP = 40, 3


def reasons(last: Record, now: Record, rule: CalibrationRule) -> list[str]:
    """Every reason for calibrating again; none: what was found still holds."""
    changed = (
        ("another model", last.model, now.model),
        ("another version of its server", last.version or "unknown", now.version or "unknown"),
        ("other hardware", last.hardware, now.hardware),
    )
    found = [f"{what}: {before} → {after}" for what, before, after in changed if before != after]
    above = share_above(now.seconds, last.threshold_ms or math.inf)
    if above > rule.violations:
        found.append(
            f"{100 * above:.0f} % of {len(now.seconds)} requests take more than "
            f"{last.threshold_ms:,.0f} ms; {100 * rule.violations:g} % may"
        )
    (change,) = bootstrap(now.seconds, (0.5,), less=last.seconds)
    if change.high < -0.25 * percentile(last.seconds, 0.5):
        found.append(
            "more than a quarter faster than when it was calibrated: something was optimised"
        )
    return found


def share_above(seconds: Sequence[float], limit_ms: float) -> float:
    return sum(value * 1000 > limit_ms for value in seconds) / len(seconds) if seconds else 0.0


def due(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Measures a little, and compares it with the last calibration. Due is a promise not kept.

    Raises:
        SloError: what is kept cannot be read.
    """
    profile = chosen(args)
    before = load(args.store, profile.name, "calibration")
    about = title("Is recalibration due?", profile, args)
    table = Result("due", about, ("endpoint", "calibrated", "due", "why"))
    for name, subject in endpoints(sampler, args, profile):
        last = last_of(before.get(name, []), profile)
        since = last.day if last else NOTHING
        if isinstance(subject, str):
            table.add((name, since, "unknown", subject))
            continue
        why = ["it was never calibrated: ./Benchmark calibrate"]
        if last is not None:
            samples = args.samples or (QUICK[0] if args.quick else _DUE_SAMPLES)
            timings = subject.baseline(sampler, samples, _DUE_WARM_UP)
            why = reasons(last, record(subject, timings.values), profile.calibration)
        cells = (name, since, "yes" if why else "no", "; ".join(why))
        table.add(cells, due=bool(why), reasons=why)
        table.broken += [f"the calibration of {name} holds: {each}" for each in why]
    return [table]


# ./Benchmark baseline -----------------------------------------------------------------------------

QUANTILES = {"P50": 0.5, "P95": 0.95}  # P99 of twenty samples is their largest, which says nothing
_FALSE_ALARMS = 0.05  # of a whole comparison, however many endpoints it has
_SAVED = ("endpoint", "model there", "n", "P50 ms", "P95 ms", "P99 ms", "mean ms")
_COMPARED = ("endpoint", "", "last ms", "now ms", "difference ms", "verdict")
BASELINE_ARGUMENTS: Options = {
    "action": dict(
        choices=("save", "compare", "table"),
        help="measure and keep; measure and compare; show what is kept"
    )
}  # fmt: skip


def baseline(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """A regression is a promise not kept.

    Raises:
        SloError: what is kept cannot be read.
    """
    profile = chosen(args)
    before = load(args.store, profile.name, "baseline")
    if args.action == "table":
        print("\n".join(markdown(profile, before)))  # bare, to be copied into a document
        return []
    records = []
    for name, subject in endpoints(sampler, args, profile):
        if not isinstance(subject, str):
            timings = subject.baseline(sampler, *counts(args, profile))
            if timings.failures:
                raise Failure(f"{name}: {timings.first_failure}")
            records.append(record(subject, timings.values))
    if not records:
        raise Unavailable("No endpoint of this profile can be reached.")
    if args.action == "compare":
        about = title("Against the last baseline", profile, args)
        result = Result("baseline", about, _COMPARED)
        _compare(result, records, before, profile)
        return [result]
    result = Result("baseline", title("Baseline", profile, args), _SAVED)
    for each in records:
        found = summarise(each.seconds)
        times = spread(found, "p50", "p95", "p99", "mean")
        cells = (each.endpoint, each.model, str(len(each.seconds)), *times)
        result.add(cells, latency_s=found)
    if not sampler.interrupted:
        result.notes.append(f"kept in {save(args.store, profile.name, 'baseline', records)}")
    return [result]


def markdown(profile: EndpointProfile, kept: dict[str, list[Record]]) -> list[str]:
    """The table of the last baselines, in ms; what was never measured has dashes."""
    lines = [
        "| Endpoint | P50 | P95 | P99 | Mean | Date |",
        "|----------|-----|-----|-----|------|------|",
    ]
    for name, slo in profile.endpoints.items():
        cells: tuple[str, ...] = ("--",) * 5
        for last in kept.get(name, [])[-1:]:
            date = last.day + (" (simulated)" if last.simulated else "")
            cells = (*spread(summarise(last.seconds), "p50", "p95", "p99", "mean"), date)
        lines.append(f"| {slo.model} | {' | '.join(cells)} |")
    return lines


def _compare(
    result: Result, records: list[Record], kept: dict[str, list[Record]], profile: EndpointProfile
) -> None:
    level = 1 - _FALSE_ALARMS / max(1, len(QUANTILES) * len(records))
    result.notes.append(
        f"intervals of {100 * level:.2f} %, so that one run in {1 / _FALSE_ALARMS:.0f} is called "
        "different by chance"
    )
    for now in records:
        last = last_of(kept.get(now.endpoint, []), profile)
        if last is None:
            result.add((now.endpoint, *[NOTHING] * 4, "no baseline yet"))
            continue
        if last.model != now.model:
            said = f"another model than in the last baseline: {last.model} → {now.model}"
            result.notes.append(f"{now.endpoint}: {said}")
        found = bootstrap(now.seconds, tuple(QUANTILES.values()), level=level, less=last.seconds)
        for (name, q), higher in zip(QUANTILES.items(), found, strict=True):
            verdict = "slower" if higher.low > 0 else "faster" if higher.high < 0 else "the same"
            times = (ms(percentile(seconds, q)) for seconds in (last.seconds, now.seconds))
            result.add(
                (now.endpoint, name, *times, interval(higher), verdict), quantile=name,
                difference_s=higher, last_date=last.date
            )  # fmt: skip
            if verdict == "slower":
                said = f"{ms(higher.value)} ms above that of {last.day}, and not by chance"
                result.broken.append(f"{now.endpoint}: {name} is {said}")
