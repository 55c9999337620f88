"""Service levels from measurement: threshold = (base + RTT) × margin, rounded; kept with the state
of the hardware."""

import argparse
import math

from bench.client import Failure
from bench.endpoint import Subject, Timing, simulated
from bench.endpoint_options import chosen, counts, endpoints, title
from bench.measured import Record, hardware, record, save
from bench.options import Options
from bench.result import NOTHING, Result, ms, number, spread
from bench.sampling import Sampler
from bench.slo import CalibrationRule
from bench.stats import percentile, summarise

_COLUMNS = (
    "endpoint", "model there", "n", "P50 ms", "P95 ms", "P99 ms", "RTT ms", "base", "threshold ms",
    "level now", "embeddings/s",
    "floor",
)  # fmt: skip
ARGUMENTS: Options = {
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


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """One row per endpoint that can be reached; what was found is kept for `due`."""
    profile, _ = chosen(args)
    rule = profile.calibration
    base = args.base or rule.base
    samples, warm_up = counts(args, profile)
    about = f"Calibration, profile {profile.name}{title(profile, args)}"
    table = Result("calibrate", about, _COLUMNS)
    table.notes += [
        f"threshold = ({base.upper()} + RTT) × {rule.margin:g}, to the nearest {rule.round_ms:g} ms; both as measured from here",
        f"{warm_up} warm-ups, {samples} iterations",
        f"floor of embeddings/s = P50 / {rule.margin:g}, to the nearest {rule.round_embeddings:g}",
        f"hardware: {hardware()}",
    ]
    records: list[Record] = []
    with endpoints(sampler, args, profile, 30) as found:
        for name, subject in found:
            if isinstance(subject, str):
                table.add((name, f"skipped: {subject}", *[NOTHING] * 10))
                continue
            try:
                rtt = subject.round_trip()
                timings = subject.baseline(sampler, samples, warm_up)
                if not timings.values:
                    raise Failure(timings.first_failure or "interrupted")
            except Failure as failure:
                table.add((name, subject.served, f"failed: {failure}", *[NOTHING] * 9))
                continue
            records.append(
                _row(table, subject, timings.values, rtt, base, rule, simulated(profile))
            )
            if timings.failures:
                table.notes.append(
                    f"{name}: {timings.failures} requests failed, the first: {timings.first_failure}"
                )
    if records and not args.dry_run and not sampler.interrupted:
        where = save(args.store, profile.name, "calibration", records)
        table.notes.append(f"kept in {where}; ./Benchmark due tells when to do it again")
    return [table]


def _row(
    table: Result, subject: Subject, timings: list[Timing], rtt: float, base: str, rule: CalibrationRule, simulated: bool
) -> Record:  # fmt: skip
    found = summarise([t.seconds for t in timings])
    assert found is not None
    threshold = threshold_ms((found.p95 if base == "p95" else found.p99) * 1000, rtt * 1000, rule)
    each = record(
        subject, timings, simulated=simulated, rtt_s=rtt, threshold_ms=threshold, base=base
    )
    rates = each.rates if subject.slo.kind == "embedding" else []
    rate = percentile(rates, 0.5) if rates else None
    floor = floor_per_s(rate, rule) if rate is not None else None
    now = subject.slo.latency_ms.p95 if subject.slo.latency_ms else None
    times = (*spread(found), ms(rtt))
    rest = (number(value, 0) for value in (threshold, now, rate, floor))
    table.add(
        (subject.name, subject.served, str(found.n), *times, base.upper(), *rest),
        latency_s=found, rtt_s=rtt, base=base, threshold_ms=threshold, embeddings_per_s=rate,
        floor_per_s=floor,
        hardware=each.hardware, hardware_state=each.state, model=each.model,
    )  # fmt: skip
    return each
