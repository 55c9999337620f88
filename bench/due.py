"""Whether the endpoints' service levels have to be calibrated again, and why."""

import argparse
from collections.abc import Sequence

from bench.baseline import difference
from bench.client import Failure
from bench.endpoint import simulated, subjects
from bench.endpoint_options import QUICK, chosen, title
from bench.measured import Record, day, load, record
from bench.result import NOTHING, Result
from bench.sampling import Sampler
from bench.slo import CalibrationRule, SloError
from bench.stand import Unavailable

SAMPLES, WARM_UP = 40, 3
_COLUMNS = ("endpoint", "calibrated", "due", "why")


def reasons(last: Record, now: Record, rule: CalibrationRule) -> list[str]:
    """Every reason for calibrating again; none: what was found still holds."""
    found = []
    if now.model != last.model:
        found.append(f"another model: {last.model} → {now.model}")
    if now.version != last.version:
        found.append(
            f"another version of its server: {last.version or 'unknown'} → {now.version or 'unknown'}"
        )
    if now.hardware != last.hardware:
        found.append(f"other hardware: {last.hardware} → {now.hardware}")
    if last.threshold_ms is not None:
        above = share_above(now.seconds, last.threshold_ms)
        if above > rule.violations:
            allowed = f"{100 * rule.violations:g} % may"
            found.append(
                f"{100 * above:.0f} % of {len(now.seconds)} requests take more than {last.threshold_ms:,.0f} ms; {allowed}"
            )
    change = difference(last.seconds, now.seconds, 0.5)
    if change.high < -0.25 * _median(last.seconds):
        found.append(
            "more than a quarter faster than when it was calibrated: something was optimised"
        )
    return found


def share_above(seconds: Sequence[float], limit_ms: float) -> float:
    return sum(value * 1000 > limit_ms for value in seconds) / len(seconds) if seconds else 0.0


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Measures a little, and compares it with the last calibration. Due is a promise not kept.

    Raises:
        Unavailable: what is kept cannot be read.
    """
    profile, _ = chosen(args)
    try:
        kept = load(args.store, profile.name, "calibration")
    except SloError as error:
        raise Unavailable(str(error)) from None
    table = Result(
        "due", f"Is recalibration due? Profile {profile.name}{title(profile, args)}", _COLUMNS
    )
    stood_in = simulated(profile)
    with subjects(profile, api_key=args.api_key) as found:
        mine = [each for each in found if not args.endpoint or each[0] in args.endpoint]
        sampler.meter.start("due", 10 * len(mine))
        for name, _slo, subject in mine:
            if sampler.interrupted:
                break
            last = next(
                (each for each in reversed(kept.get(name, [])) if each.simulated == stood_in), None
            )
            if isinstance(subject, str):
                table.add((name, day(last) if last else NOTHING, "unknown", subject))
                continue
            if last is None:
                _add(table, name, None, ["it was never calibrated: ./Benchmark calibrate"])
                continue
            timings = subject.baseline(
                sampler, args.samples or (QUICK[0] if args.quick else SAMPLES), WARM_UP
            )
            if not timings.values:
                raise Failure(f"{name}: {timings.first_failure or 'interrupted'}")
            _add(
                table,
                name,
                last,
                reasons(
                    last, record(subject, timings.values, simulated=stood_in), profile.calibration
                ),
            )
    return [table]


def _add(table: Result, name: str, last: Record | None, why: list[str]) -> None:
    table.add(
        (name, day(last) if last else NOTHING, "yes" if why else "no", "; ".join(why)),
        due=bool(why),
        reasons=why,
    )
    table.broken += [f"the calibration of {name} holds: {each}" for each in why]


def _median(seconds: Sequence[float]) -> float:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] if ordered else 0.0
