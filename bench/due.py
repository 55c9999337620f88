"""Whether the endpoints' service levels have to be calibrated again, and why."""

import argparse
from collections.abc import Sequence

from bench.client import Failure
from bench.endpoint import simulated
from bench.endpoint_options import QUICK, chosen, endpoints, kept, last_of, title
from bench.measured import Record, day, record
from bench.result import NOTHING, Result
from bench.sampling import Sampler
from bench.slo import CalibrationRule
from bench.stats import bootstrap, percentile

SAMPLES, WARM_UP = 40, 3
_COLUMNS = ("endpoint", "calibrated", "due", "why")


def reasons(last: Record, now: Record, rule: CalibrationRule) -> list[str]:
    """Every reason for calibrating again; none: what was found still holds."""
    changed = (
        ("another model", last.model, now.model),
        ("another version of its server", last.version or "unknown", now.version or "unknown"),
        ("other hardware", last.hardware, now.hardware),
    )
    found = [f"{what}: {before} → {after}" for what, before, after in changed if before != after]
    if last.threshold_ms is not None:
        above = share_above(now.seconds, last.threshold_ms)
        if above > rule.violations:
            allowed = f"{100 * rule.violations:g} % may"
            found.append(
                f"{100 * above:.0f} % of {len(now.seconds)} requests take more than {last.threshold_ms:,.0f} ms; {allowed}"
            )
    (change,) = bootstrap(now.seconds, (0.5,), less=last.seconds)
    if change.high < -0.25 * percentile(last.seconds, 0.5):
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
    before, stood_in = kept(args, profile, "calibration"), simulated(profile)
    about = f"Is recalibration due? Profile {profile.name}{title(profile, args)}"
    table = Result("due", about, _COLUMNS)
    with endpoints(sampler, args, profile, 10) as found:
        for name, subject in found:
            last = last_of(before.get(name, []), stood_in)
            since = day(last) if last else NOTHING
            if isinstance(subject, str):
                table.add((name, since, "unknown", subject))
                continue
            why = ["it was never calibrated: ./Benchmark calibrate"]
            if last is not None:
                samples = args.samples or (QUICK[0] if args.quick else SAMPLES)
                timings = subject.baseline(sampler, samples, WARM_UP)
                if not timings.values:
                    raise Failure(f"{name}: {timings.first_failure or 'interrupted'}")
                now = record(subject, timings.values, simulated=stood_in)
                why = reasons(last, now, profile.calibration)
            cells = (name, since, "yes" if why else "no", "; ".join(why))
            table.add(cells, due=bool(why), reasons=why)
            table.broken += [f"the calibration of {name} holds: {each}" for each in why]
    return [table]
