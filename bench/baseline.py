"""Baselines of the endpoints: kept, compared with the last one, and shown as the Markdown table of a document."""

import argparse
import random
from collections.abc import Sequence

from bench.client import Failure
from bench.endpoint import simulated, subjects
from bench.endpoint_options import chosen, counts, title
from bench.measured import Record, day, load, record, save
from bench.result import NOTHING, Result, ms
from bench.sampling import Sampler
from bench.slo import EndpointProfile, SloError
from bench.stand import Unavailable
from bench.stats import Interval, percentile, summarise

QUANTILES = {"P50": 0.5, "P95": 0.95}  # P99 of twenty samples is their largest, which says nothing
_ROUNDS = 2000
_FALSE_ALARMS = 0.05  # of a whole comparison, however many endpoints it has
_SAVED = ("endpoint", "model there", "n", "P50 ms", "P95 ms", "P99 ms", "mean ms")
_COMPARED = ("endpoint", "", "last ms", "now ms", "difference ms", "interval", "verdict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("save", "compare", "table"),
        help="measure and keep; measure and compare; show what is kept",
    )


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """A regression is a promise not kept.

    Raises:
        Unavailable: what is kept cannot be read.
    """
    profile, _ = chosen(args)
    try:
        kept = load(args.store, profile.name, "baseline")
    except SloError as error:
        raise Unavailable(str(error)) from None
    if args.action == "table":
        print("\n".join(markdown(profile, kept)))  # bare, so that it can be copied into a document
        return []
    records = _measure(sampler, args, profile)
    if args.action == "save":
        return [_saved(args, profile, records, sampler)]
    return [_compared(args, profile, records, kept)]


def difference(
    last: Sequence[float], now: Sequence[float], q: float, *, level: float = 0.95, seed: int = 1
) -> Interval:
    """How much higher the quantile is now than it was, with the bootstrap interval over both samples."""
    source = random.Random(seed)
    found = []
    for _ in range(_ROUNDS):
        before = percentile(sorted(source.choices(last, k=len(last))), q)
        found.append(percentile(sorted(source.choices(now, k=len(now))), q) - before)
    found.sort()
    tail = (1 - level) / 2
    return Interval(
        percentile(sorted(now), q) - percentile(sorted(last), q),
        percentile(found, tail),
        percentile(found, 1 - tail),
    )


def markdown(profile: EndpointProfile, kept: dict[str, list[Record]]) -> list[str]:
    """The table of the last baselines, in ms; what was never measured has dashes."""
    lines = [
        "| Endpoint | P50 | P95 | P99 | Mean | Date |",
        "|----------|-----|-----|-----|------|------|",
    ]
    for name, slo in profile.endpoints.items():
        last = kept.get(name, [])[-1:]
        found = summarise(last[0].seconds) if last else None
        cells = (
            (ms(found.p50), ms(found.p95), ms(found.p99), ms(found.mean)) if found else ("--",) * 4
        )
        date = (day(last[0]) + (" (simulated)" if last[0].simulated else "")) if last else "--"
        lines.append(f"| {slo.model} | {' | '.join(cells)} | {date} |")
    return lines


def _measure(sampler: Sampler, args: argparse.Namespace, profile: EndpointProfile) -> list[Record]:
    samples, warm_up = counts(args, profile)
    records = []
    with subjects(profile, api_key=args.api_key) as found:
        mine = [each for each in found if not args.endpoint or each[0] in args.endpoint]
        sampler.meter.start("baseline", 10 * len(mine))
        for _name, _slo, subject in mine:
            if isinstance(subject, str) or sampler.interrupted:
                continue
            timings = subject.baseline(sampler, samples, warm_up)
            if timings.failures:
                raise Failure(f"{subject.name}: {timings.first_failure}")
            if timings.values:
                records.append(record(subject, timings.values, simulated=simulated(profile)))
    if not records and not sampler.interrupted:
        raise Unavailable("No endpoint of this profile can be reached.")
    return records


def _saved(
    args: argparse.Namespace, profile: EndpointProfile, records: list[Record], sampler: Sampler
) -> Result:
    result = Result("baseline", f"Baseline, profile {profile.name}{title(profile, args)}", _SAVED)
    for each in records:
        found = summarise(each.seconds)
        assert found is not None
        result.add(
            (each.endpoint, each.model, str(found.n), ms(found.p50), ms(found.p95), ms(found.p99), ms(found.mean)), latency_s=found
        )  # fmt: skip
    if not sampler.interrupted:
        result.notes.append(f"kept in {save(args.store, profile.name, 'baseline', records)}")
    return result


def _compared(
    args: argparse.Namespace,
    profile: EndpointProfile,
    records: list[Record],
    kept: dict[str, list[Record]],
) -> Result:
    result = Result(
        "baseline",
        f"Against the last baseline, profile {profile.name}{title(profile, args)}",
        _COMPARED,
    )
    level = 1 - _FALSE_ALARMS / max(1, len(QUANTILES) * len(records))
    result.notes.append(
        f"intervals of {100 * level:.2f} %, so that one run in {1 / _FALSE_ALARMS:.0f} is called different by chance"
    )
    for now in records:
        last = next(
            (
                each
                for each in reversed(kept.get(now.endpoint, []))
                if each.simulated == now.simulated
            ),
            None,
        )
        if last is None:
            result.add((now.endpoint, *[NOTHING] * 5, "no baseline yet"))
            continue
        if last.model != now.model:
            result.notes.append(
                f"{now.endpoint}: another model than in the last baseline: {last.model} → {now.model}"
            )
        for name, q in QUANTILES.items():
            found = difference(last.seconds, now.seconds, q, level=level)
            verdict = "slower" if found.low > 0 else "faster" if found.high < 0 else "the same"
            result.add(
                (
                    now.endpoint, name, ms(percentile(sorted(last.seconds), q)), ms(percentile(sorted(now.seconds), q)), ms(found.value),
                    f"{ms(found.low)} … {ms(found.high)}", verdict,
                ),
                quantile=name, difference_s=found, last_date=last.date,
            )  # fmt: skip
            if verdict == "slower":
                result.broken.append(
                    f"{now.endpoint}: {name} is {ms(found.value)} ms above that of {day(last)}, and not by chance"
                )
    return result
